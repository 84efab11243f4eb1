#include "place/tensorflow/run_metadata.h"

#include <algorithm>

#include "base/error.h"
#include "io/mapped_file.h"
#include "place/tensorflow/traced_step.h"

namespace orchard::place::tensorflow {
namespace {

// Of one file; its cost graph after all step statistics, wherever it stands.
TracedStep ReadStep(std::string_view bytes, const std::string& file) {
  const ProtobufSource source{file, bytes.data(), bytes.size()};
  TracedStep step;
  std::vector<std::string_view> cost_graphs;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) ReadStepStats(m.Bytes(), source, step);
    if (m.field() == 2) cost_graphs.push_back(m.Bytes());
  }
  for (std::string_view graph : cost_graphs) ReadCostGraph(graph, source, step);
  return step;
}

}  // namespace

double NodeTrace::Median() const {
  if (us.empty()) return 0;
  std::vector<double> sorted = us;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

void RunMetadata::AddBytes(std::string_view bytes, const std::string& file) {
  const TracedStep step = ReadStep(bytes, file);
  if (step.empty()) {
    throw DataError("no RunMetadata: it has neither step statistics nor a cost graph", file,
                    "trace with trace_level=FULL_TRACE");
  }
  for (const auto& [name, node] : step) {
    NodeTrace& trace = nodes_[name];
    if (node.timed) trace.us.push_back(node.has_kernels ? node.kernel_us : node.host_us);
    trace.temp = std::max(trace.temp, node.temp);
    trace.persistent = std::max(trace.persistent, node.persistent);
    for (const auto& [port, size] : node.out) trace.out[port] = std::max(trace.out[port], size);
  }
}

void RunMetadata::Add(const std::filesystem::path& path) {
  const io::MappedFile file(path);
  AddBytes({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
           path.string());
}

const NodeTrace* RunMetadata::Find(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

}  // namespace orchard::place::tensorflow
