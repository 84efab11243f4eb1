#include "place/memory.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "place/host_plan.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

// Parameters, their gradient and the optimiser's states, in copies of the parameters.
int64_t CopiesOfParameters(const MemoryOptions& options) {
  if (options.mode == Mode::kInfer) return 1;
  switch (options.optimizer) {
    case Optimizer::kNone:
      return 1;
    case Optimizer::kSgd:
      return 2;
    case Optimizer::kMomentum:
      return 3;
    case Optimizer::kAdam:
      return 4;
  }
  return 1;
}

// In a step the gradient is a tensor of its own.
int64_t CopiesOfParameters(const Graph& graph, const MemoryOptions& options) {
  const int64_t copies = CopiesOfParameters(options);
  return graph.step ? std::max<int64_t>(1, copies - 1) : copies;
}

// On one device: time and phase in one number, and bytes. At one moment: what ends, what begins,
// what both begins and ends then, what was held to the end.
using Change = std::pair<int64_t, int64_t>;
constexpr int64_t kPhases = 4;

class Replay {
 public:
  Replay(const MemorySizes& sizes, const TaskGraph& tasks, const Schedule& schedule,
         int32_t devices)
      : sizes_(sizes),
        tasks_(tasks),
        schedule_(schedule),
        task_of_(sizes.perm.size(), -1),
        buffer_end_(sizes.buffers.size(), -1),
        sums_(sizes.sums),
        read_until_(schedule.end),
        changes_(devices) {
    for (const WriteBack& gradient : schedule.write_backs)
      read_until_[gradient.update] = gradient.end;
    for (int32_t i = 0; i < tasks.size(); ++i) task_of_[tasks.Members(i)[0]] = i;
  }

  // Of each device.
  std::vector<std::vector<Change>> Changes() {
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      const int32_t op = tasks_.Members(i)[0];
      Hold(schedule_.device[i], schedule_.start[i], schedule_.end[i], sizes_.temp[op]);
    }
    Copies();
    for (size_t e = 0; e < tasks_.edges.size(); ++e) {
      const auto [h, j] = tasks_.edges[e];
      if (schedule_.device[h] == schedule_.device[j]) Read(static_cast<int32_t>(e), read_until_[j]);
    }
    Fetches();
    for (size_t b = 0; b < sizes_.buffers.size(); ++b) {
      const MemorySizes::Buffer& buffer = sizes_.buffers[b];
      const int32_t i = task_of_[buffer.op];
      if (i < 0) continue;
      if (buffer.sum >= 0 && schedule_.device[task_of_[buffer.reader]] == schedule_.device[i]) {
        Part(buffer.sum, schedule_.device[i], buffer.bytes, schedule_.start[i], schedule_.end[i],
             buffer_end_[b]);
        continue;
      }
      if (buffer.saved) {
        HoldToTheEnd(schedule_.device[i], schedule_.start[i], buffer.bytes);
        continue;
      }
      Hold(schedule_.device[i], schedule_.start[i], std::max(buffer_end_[b], schedule_.end[i]),
           buffer.bytes);
    }
    for (Sum& sum : sums_) AddUp(sum);
    return std::move(changes_);
  }

 private:
  // Gradients of one tensor on the device that adds them up.
  struct Sum {
    std::vector<std::pair<Time, Time>> parts;  // while each is made or arrives
    Time end = 0;                              // of the last reader
    int32_t device = -1;
    int64_t bytes = 0;
  };

  void Hold(int32_t device, Time begin, Time end, int64_t bytes) {
    if (bytes == 0) return;
    changes_[device].emplace_back(begin * kPhases + 1, bytes);
    changes_[device].emplace_back(end * kPhases + (end == begin ? 2 : 0), -bytes);
  }

  // Operators without duration may run at the very end, and find it there.
  void HoldToTheEnd(int32_t device, Time begin, int64_t bytes) {
    if (bytes == 0) return;
    changes_[device].emplace_back(begin * kPhases + 1, bytes);
    changes_[device].emplace_back(schedule_.makespan * kPhases + 3, -bytes);
  }

  void Part(int32_t sum, int32_t device, int64_t bytes, Time begin, Time end, Time read) {
    Sum& s = sums_[sum];
    s.parts.emplace_back(begin, end);
    s.end = std::max(s.end, read);
    s.device = device;
    s.bytes = bytes;
  }

  void AddUp(Sum& sum) {
    std::sort(sum.parts.begin(), sum.parts.end());
    for (size_t p = 0; p < sum.parts.size(); ++p) {
      const auto [begin, end] = sum.parts[p];
      Hold(sum.device, begin, p == 0 ? std::max(end, sum.end) : end, sum.bytes);
    }
  }

  void Read(int32_t edge, Time end) {
    for (int32_t t : tasks_.TensorsOf(edge)) {
      const int32_t b = sizes_.buffer_of_tensor[t];
      if (b >= 0) buffer_end_[b] = std::max(buffer_end_[b], end);
    }
  }

  void Fetches() {
    if (!schedule_.host) return;
    std::vector<Time> output_end(sizes_.perm.size(), 0);
    for (size_t b = 0; b < sizes_.buffers.size(); ++b) {
      Time& end = output_end[sizes_.buffers[b].op];
      end = std::max(end, buffer_end_[b]);
    }
    for (size_t d = 0; d < schedule_.fetches.size(); ++d) {
      for (size_t k = 0; k < schedule_.fetches[d].size(); ++k) {
        const Fetch& fetch = schedule_.host->fetches[d][k];
        Time end = 0;
        for (int32_t reader : fetch.readers) {
          end = std::max(end, schedule_.end[reader]);
          if (reader == fetch.op && sizes_.perm_is_output[reader])
            end = std::max(end, output_end[reader]);
        }
        Hold(static_cast<int32_t>(d), schedule_.fetches[d][k].start, end, sizes_.fetched[fetch.op]);
      }
    }
  }

  // Copies live until their last reader on the device ends; originals at least until they are sent.
  void Copies() {
    // Readers by (tensor, device), found from the edges of the tensor's producer.
    for (const Transfer& transfer : schedule_.transfers) {
      const int32_t b = sizes_.buffer_of_tensor[transfer.tensor];
      if (b < 0) continue;
      buffer_end_[b] = std::max(buffer_end_[b], transfer.end);
      Time last = transfer.end;
      const int32_t h = tasks_.tensors[transfer.tensor].producer;
      for (int32_t e = tasks_.out_begin[h]; e < tasks_.out_begin[h + 1]; ++e) {
        const int32_t j = tasks_.edges[e].dst;
        if (schedule_.device[j] != transfer.dst) continue;
        const auto tensors = tasks_.TensorsOf(e);
        if (std::find(tensors.begin(), tensors.end(), transfer.tensor) != tensors.end())
          last = std::max(last, read_until_[j]);
      }
      if (sizes_.buffers[b].sum >= 0) {
        Part(sizes_.buffers[b].sum, transfer.dst, sizes_.copy_bytes[transfer.tensor],
             transfer.start, transfer.end, last);
        continue;
      }
      if (sizes_.buffers[b].saved) {
        HoldToTheEnd(transfer.dst, transfer.start, sizes_.copy_bytes[transfer.tensor]);
        continue;
      }
      Hold(transfer.dst, transfer.start, last, sizes_.copy_bytes[transfer.tensor]);
    }
  }

  const MemorySizes& sizes_;
  const TaskGraph& tasks_;
  const Schedule& schedule_;
  std::vector<int32_t> task_of_;
  std::vector<Time> buffer_end_;
  std::vector<Sum> sums_;
  std::vector<Time> read_until_;  // by each task: its end, of a gradient for the host its arrival
  std::vector<std::vector<Change>> changes_;
};

}  // namespace

MemorySizes::MemorySizes(const Graph& graph, const MemoryOptions& options) {
  const auto rounded = [&](int64_t bytes) {
    return (bytes + options.rounding - 1) / options.rounding * options.rounding;
  };
  const int64_t copies = CopiesOfParameters(graph, options);
  const bool train = options.mode == Mode::kTrain && !graph.step;
  std::vector<int32_t> first_buffer(graph.size());
  for (int32_t i = 0; i < graph.size(); ++i) {
    const Op& op = graph.ops[i];
    perm.push_back(rounded(op.perm) * copies);
    temp.push_back(rounded(op.temp));
    fetched.push_back(rounded(op.perm));
    first_buffer[i] = static_cast<int32_t>(buffers.size());
    // Where parameters are outputs at the same time, they are held once, as parameters.
    const bool inside =
        op.perm_is_output || graph.persistent_memory == PersistentMemory::kInOutputs;
    perm_is_output.push_back(inside);
    int64_t held = inside ? op.perm : 0;
    for (size_t k = 0; k < op.out.size(); ++k) {
      const int64_t shared = std::min(held, op.out[k]);
      held -= shared;
      const bool saved = train && (op.saved.empty() || op.saved[k]);
      buffers.push_back({i, rounded(op.out[k] - shared), saved});
    }
  }
  for (const Tensor& tensor : graph.tensors) {
    copy_bytes.push_back(tensor.control ? 0 : rounded(tensor.bytes));
    if (tensor.control) {
      buffer_of_tensor.push_back(-1);
    } else if (tensor.port >= 0) {
      buffer_of_tensor.push_back(first_buffer[tensor.producer] + tensor.port);
    } else {
      buffer_of_tensor.push_back(static_cast<int32_t>(buffers.size()));
      buffers.push_back({tensor.producer, rounded(tensor.bytes), train});
    }
  }
  if (!graph.step) return;
  sums = graph.step->sums;
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e))) {
      if (graph.step->sum_of_tensor[t] < 0) continue;
      Buffer& buffer = buffers[buffer_of_tensor[t]];
      buffer.sum = graph.step->sum_of_tensor[t];
      buffer.reader = graph.edges[e].dst;
    }
  }
}

std::vector<int64_t> MemorySizes::Resident() const {
  std::vector<int64_t> resident = perm;
  for (const Buffer& buffer : buffers) {
    if (buffer.saved) resident[buffer.op] += buffer.bytes;
  }
  return resident;
}

int64_t MemorySizes::Everything() const {
  int64_t bytes = std::accumulate(perm.begin(), perm.end(), int64_t{0});
  for (const Buffer& buffer : buffers) bytes += buffer.bytes;
  return bytes + (temp.empty() ? 0 : *std::max_element(temp.begin(), temp.end()));
}

MemoryUse ReplayMemory(const MemorySizes& sizes, const TaskGraph& tasks, const Schedule& schedule,
                       int32_t devices, bool curves) {
  MemoryUse use;
  use.peak.assign(devices, 0);
  use.peak_time.assign(devices, 0);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    if (!schedule.host || !schedule.host->offloaded[i])
      use.peak[schedule.device[i]] += sizes.perm[tasks.Members(i)[0]];
  }
  if (curves) use.curve.resize(devices);
  std::vector<std::vector<Change>> changes = Replay(sizes, tasks, schedule, devices).Changes();
  for (int32_t d = 0; d < devices; ++d) {
    int64_t bytes = use.peak[d];
    if (curves) use.curve[d].emplace_back(0, bytes);
    std::sort(changes[d].begin(), changes[d].end());
    for (const auto& [moment, change] : changes[d]) {
      const Time time = moment / kPhases;
      bytes += change;
      if (bytes > use.peak[d]) {
        use.peak[d] = bytes;
        use.peak_time[d] = time;
      }
      if (!curves) continue;
      auto& curve = use.curve[d];
      if (curve.back().first == time) {
        curve.back().second = bytes;
      } else {
        curve.emplace_back(time, bytes);
      }
    }
  }
  return use;
}

int64_t Excess(const std::vector<int64_t>& peak, const Cluster& cluster) {
  int64_t excess = 0;
  for (size_t d = 0; d < peak.size(); ++d)
    excess += std::max<int64_t>(0, peak[d] - cluster.devices[d].memory);
  return excess;
}

}  // namespace orchard::place
