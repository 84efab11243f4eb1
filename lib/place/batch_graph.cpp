#include "place/batch_graph.h"

#include <algorithm>
#include <numeric>

namespace orchard::place {

bool BatchGraph::Supports(const Cluster& cluster) { return cluster.size() <= kMaxBatchDevices; }

BatchGraph::BatchGraph(const Problem& problem)
    : ops(problem.ops.size()),
      devices(problem.cluster.size()),
      links(problem.cluster.links.empty() ? 1 : devices * devices),
      work_devices(problem.cluster.uniform() && problem.ops.work_on.empty() ? 1 : devices),
      comm(problem.cluster.comm),
      in_begin(problem.ops.in_begin) {
  for (int32_t e : problem.ops.in_edges) producer.push_back(problem.ops.edges[e].src);
  int64_t latest = Times(problem.ops, problem.cluster);
  if (comm != Comm::kParallel) latest += Uses(problem.ops, problem.cluster);
  Narrow(latest);
  Memory(problem);
}

// Times. With parallel links no end is later than what this returns: all work and the dearest input
// of every operator one after the other.
int64_t BatchGraph::Times(const TaskGraph& tasks, const Cluster& cluster) {
  int64_t latest = 0;
  for (int32_t i = 0; i < ops; ++i) {
    Time longest = 0;
    for (int32_t d = 0; d < work_devices; ++d) {
      work64.push_back(tasks.WorkOn(cluster, i, d));
      longest = std::max(longest, work64.back());
    }
    Time dearest = 0;
    for (int32_t e : tasks.InEdges(i)) {
      for (int32_t pair = 0; pair < links; ++pair) {
        // Without links of their own, any two different devices stand for all.
        const int32_t src = links == 1 ? 0 : pair / devices, dst = links == 1 ? 1 : pair % devices;
        Time cost = 0;
        if (src != dst && dst < devices) {
          for (int32_t t : tasks.TensorsOf(e))
            cost = std::max(cost, tasks.Cost(cluster, t, src, dst));
        }
        cost64.push_back(cost);
        dearest = std::max(dearest, cost);
      }
    }
    latest += longest + dearest;
  }
  return latest;
}

// Uses of tensors by the topological index of the producer, and the time of all transfers one after
// the other.
int64_t BatchGraph::Uses(const TaskGraph& tasks, const Cluster& cluster) {
  std::vector<int32_t> by_topo(ops);
  std::iota(by_topo.begin(), by_topo.end(), 0);
  std::sort(by_topo.begin(), by_topo.end(),
            [&](int32_t a, int32_t b) { return tasks.topo[a] < tasks.topo[b]; });
  all_tensors = static_cast<int32_t>(tasks.tensors.size());
  first_use.resize(ops);
  last_use.resize(ops);
  inputs.assign(ops, 0);
  int64_t latest = 0;
  for (int32_t i : by_topo) {
    first_use[i] = static_cast<int32_t>(use_reader.size());
    for (int32_t e = tasks.out_begin[i]; e < tasks.out_begin[i + 1]; ++e) {
      for (int32_t t : tasks.TensorsOf(e)) {
        use_producer.push_back(i);
        use_reader.push_back(tasks.edges[e].dst);
        use_tensor.push_back(t);
        ++inputs[tasks.edges[e].dst];
        Time dearest = 0;
        for (int32_t pair = 0; pair < links; ++pair) {
          const int32_t src = links == 1 ? 0 : pair / devices,
                        dst = links == 1 ? 1 : pair % devices;
          const bool link = src != dst && dst < devices;
          use_cost64.push_back(link ? tasks.Cost(cluster, t, src, dst) : 0);
          dearest = std::max(dearest, use_cost64.back());
        }
        latest += dearest;
      }
    }
    last_use[i] = static_cast<int32_t>(use_reader.size());
  }
  return latest;
}

// Takes 32 bits where they hold every end.
void BatchGraph::Narrow(int64_t latest) {
  wide = latest >= INT32_MAX;
  if (wide) return;
  work32.assign(work64.begin(), work64.end());
  cost32.assign(cost64.begin(), cost64.end());
  use_cost32.assign(use_cost64.begin(), use_cost64.end());
  work64 = {};
  cost64 = {};
  use_cost64 = {};
}

void BatchGraph::Memory(const Problem& problem) {
  const TaskGraph& tasks = problem.ops;
  const MemorySizes& sizes = problem.sizes;
  // Tensors by producer, control edges left out.
  std::vector<int32_t> by_producer;
  for (int32_t t = 0; t < static_cast<int32_t>(tasks.tensors.size()); ++t) {
    if (sizes.buffer_of_tensor[t] >= 0) by_producer.push_back(t);
  }
  std::stable_sort(by_producer.begin(), by_producer.end(), [&](int32_t a, int32_t b) {
    return tasks.tensors[a].producer < tasks.tensors[b].producer;
  });
  std::vector<int32_t> number(tasks.tensors.size(), -1);
  std::vector<uint8_t> read(sizes.buffers.size(), 0);
  tensor_begin.assign(ops + 1, 0);
  for (int32_t t : by_producer) {
    number[t] = static_cast<int32_t>(bytes.size());
    const int32_t b = sizes.buffer_of_tensor[t];
    ++tensor_begin[tasks.tensors[t].producer + 1];
    bytes.push_back(sizes.buffers[b].saved || read[b] ? 0 : sizes.buffers[b].bytes);
    copy.push_back(sizes.copy_bytes[t]);
    saved.push_back(sizes.buffers[b].saved);
    read[b] = 1;
  }
  std::partial_sum(tensor_begin.begin(), tensor_begin.end(), tensor_begin.begin());
  use_begin = {0};
  for (int32_t e : tasks.in_edges) {
    for (int32_t t : tasks.TensorsOf(e)) {
      if (number[t] >= 0) used.push_back(number[t]);
    }
    use_begin.push_back(static_cast<int32_t>(used.size()));
  }
  perm = sizes.perm;
  fleeting = sizes.temp;
  kept.assign(ops, 0);
  for (size_t b = 0; b < sizes.buffers.size(); ++b) {
    const MemorySizes::Buffer& buffer = sizes.buffers[b];
    if (buffer.saved) kept[buffer.op] += buffer.bytes;
    if (!buffer.saved && !read[b]) fleeting[buffer.op] += buffer.bytes;
  }
  for (const Device& device : problem.cluster.devices) limit.push_back(device.memory);
}

BatchArgs BatchGraph::Args(BatchLinks* shared, BatchMemory* memory) const {
  BatchArgs args;
  args.ops = ops;
  args.devices = devices;
  args.wide = wide;
  args.in_begin = in_begin.data();
  args.producer = producer.data();
  args.links = links;
  args.cost = wide ? static_cast<const void*>(cost64.data()) : cost32.data();
  args.work_devices = work_devices;
  args.work = wide ? static_cast<const void*>(work64.data()) : work32.data();
  if (comm != Comm::kParallel) {
    shared->half = comm == Comm::kHalf;
    shared->uses = static_cast<int32_t>(use_reader.size());
    shared->tensors = all_tensors;
    shared->use_begin = first_use.data();
    shared->use_end = last_use.data();
    shared->producer = use_producer.data();
    shared->reader = use_reader.data();
    shared->tensor = use_tensor.data();
    shared->cost = wide ? static_cast<const void*>(use_cost64.data()) : use_cost32.data();
    shared->inputs = inputs.data();
    args.shared = shared;
  }
  if (!memory) return args;
  memory->tensors = static_cast<int32_t>(bytes.size());
  memory->use_begin = use_begin.data();
  memory->used = used.data();
  memory->tensor_begin = tensor_begin.data();
  memory->bytes = bytes.data();
  memory->copy = copy.data();
  memory->saved = saved.data();
  memory->perm = perm.data();
  memory->kept = kept.data();
  memory->fleeting = fleeting.data();
  memory->limit = limit.data();
  args.memory = memory;
  return args;
}

}  // namespace orchard::place
