#include "place/tensorflow/run_metadata.h"

#include <algorithm>

#include "base/error.h"
#include "io/mapped_file.h"
#include "place/tensorflow/graph_def.h"

namespace orchard::place::tensorflow {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 60;

// One file: sums over the executions of a node within the step.
struct Step {
  struct Node {
    double host_us = 0, kernel_us = 0;
    bool timed = false, has_kernels = false;
    int64_t temp = 0, persistent = 0;
    std::map<int32_t, int64_t> out;
  };
  std::unordered_map<std::string, Node> nodes;
};

int64_t Bounded(int64_t bytes) { return std::clamp<int64_t>(bytes, 0, kMaxBytes); }

// "name/_123": a copy that the runtime put in.
bool IsRuntimeCopy(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash == name.npos || slash + 2 > name.size() || name[slash + 1] != '_') return false;
  const std::string_view digits = name.substr(slash + 2);
  return !digits.empty() &&
         std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class StepReader {
 public:
  StepReader(std::string_view bytes, const std::string& file)
      : source_{file, bytes.data(), bytes.size()} {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) ReadStepStats(m.Bytes());
      if (m.field() == 2) cost_graphs_.push_back(m.Bytes());
    }
    for (std::string_view graph : cost_graphs_) ReadCostGraph(graph);
  }

  Step step;

 private:
  void ReadStepStats(std::string_view bytes) {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) ReadDevice(m.Bytes());
    }
  }

  void ReadDevice(std::string_view bytes) {
    std::string_view device;
    std::vector<std::string_view> nodes;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) device = m.Bytes();
      if (m.field() == 2) nodes.push_back(m.Bytes());
    }
    const bool kernels = device.find("/stream:all") != device.npos;
    const bool other =
        device.find("/stream:") != device.npos || device.find("/memcpy") != device.npos;
    if (other && !kernels) return;  // the same kernels once more, stream by stream
    for (std::string_view node : nodes) ReadNode(node, kernels);
  }

  void ReadNode(std::string_view bytes, bool kernel) {
    std::string_view name;
    int64_t start_us = 0, end_us = 0, start_ns = 0, end_ns = 0;
    std::vector<std::string_view> outputs;
    std::string_view memory;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      switch (m.field()) {
        case 1:
          name = m.Bytes();
          break;
        case 3:
          start_us = m.Int();
          break;
        case 4:
          end_us = m.Int();
          break;
        case 7:
          outputs.push_back(m.Bytes());
          break;
        case 12:
          memory = m.Bytes();
          break;
        case 14:
          start_ns = m.Int();
          break;
        case 15:
          end_ns = m.Int();
          break;
        default:
          break;
      }
    }
    if (IsRuntimeCopy(name)) return;
    if (kernel) name = name.substr(0, name.find(':'));  // "scope/MatMul:MatMul"
    Step::Node& node = step.nodes[std::string(name)];
    // Doubles: hostile numbers may overflow a difference of integers.
    double us = static_cast<double>(end_us) - static_cast<double>(start_us);
    if (end_ns != 0) us = (static_cast<double>(end_ns) - static_cast<double>(start_ns)) / 1000;
    us = std::clamp(us, 0.0, 1e12);
    node.timed = true;
    (kernel ? node.kernel_us : node.host_us) += us;
    node.has_kernels = node.has_kernels || kernel;
    ReadMemory(memory, node);
    for (std::string_view output : outputs) ReadOutput(output, node);
  }

  // MemoryStats
  void ReadMemory(std::string_view bytes, Step::Node& node) {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) node.temp = std::max(node.temp, Bounded(m.Int()));
      if (m.field() == 3) node.persistent = std::max(node.persistent, Bounded(m.Int()));
    }
  }

  // NodeOutput
  void ReadOutput(std::string_view bytes, Step::Node& node) {
    int64_t slot = 0, requested = 0;
    std::optional<TensorShape> shape;
    int32_t type = 0;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) slot = m.Int();
      if (m.field() != 3) continue;
      ProtobufMessage tensor(m.Bytes(), source_);
      while (tensor.Next()) {
        if (tensor.field() == 1) type = static_cast<int32_t>(tensor.Int());
        if (tensor.field() == 2) shape = ParseShape(tensor.Bytes(), source_);
        if (tensor.field() != 4) continue;
        ProtobufMessage allocation(tensor.Bytes(), source_);
        while (allocation.Next()) {
          if (allocation.field() == 1) requested = Bounded(allocation.Int());
        }
      }
    }
    SetOutput(node, slot, TensorBytes(shape, type).value_or(requested));
  }

  static void SetOutput(Step::Node& node, int64_t slot, int64_t bytes) {
    constexpr int64_t kMostPorts = 100'000;
    if (slot < 0 || slot >= kMostPorts) return;
    int64_t& largest = node.out[static_cast<int32_t>(slot)];
    largest = std::max(largest, Bounded(bytes));
  }

  void ReadCostGraph(std::string_view bytes) {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) ReadCost(m.Bytes());
    }
  }

  // CostGraphDef.Node; what StepStats says of the same node wins.
  void ReadCost(std::string_view bytes) {
    std::string_view name;
    int64_t cost = 0, temp = 0, persistent = 0;
    std::vector<int64_t> sizes;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      switch (m.field()) {
        case 1:
          name = m.Bytes();
          break;
        case 5: {
          int64_t size = 0;
          ProtobufMessage info(m.Bytes(), source_);
          while (info.Next()) {
            if (info.field() == 1) size = info.Int();
          }
          sizes.push_back(size);
          break;
        }
        case 6:
          temp = m.Int();
          break;
        case 9:
          cost = m.Int();
          break;
        case 12:
          persistent = m.Int();
          break;
        default:
          break;
      }
    }
    if (IsRuntimeCopy(name)) return;
    Step::Node& node = step.nodes[std::string(name)];
    if (!node.timed && cost > 0) {
      node.timed = true;
      node.host_us = std::min(static_cast<double>(cost), 1e12);
    }
    if (node.temp == 0) node.temp = Bounded(temp);
    if (node.persistent == 0) node.persistent = Bounded(persistent);
    if (!node.out.empty()) return;
    for (size_t k = 0; k < sizes.size(); ++k) SetOutput(node, static_cast<int64_t>(k), sizes[k]);
  }

  ProtobufSource source_;
  std::vector<std::string_view> cost_graphs_;
};

}  // namespace

double NodeTrace::Median() const {
  if (us.empty()) return 0;
  std::vector<double> sorted = us;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

void RunMetadata::AddBytes(std::string_view bytes, const std::string& file) {
  const StepReader reader(bytes, file);
  if (reader.step.nodes.empty()) {
    throw DataError("no RunMetadata: it has neither step statistics nor a cost graph", file,
                    "trace with trace_level=FULL_TRACE");
  }
  for (const auto& [name, node] : reader.step.nodes) {
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
