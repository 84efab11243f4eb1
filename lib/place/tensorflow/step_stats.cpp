#include <algorithm>
#include <optional>
#include <vector>

#include "place/tensorflow/graph_def.h"
#include "place/tensorflow/traced_step.h"

namespace orchard::place::tensorflow {
namespace {

// Messages of step_stats.proto.
class StepStatsReader {
 public:
  StepStatsReader(const ProtobufSource& source, TracedStep& step) : source_(source), step_(step) {}

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

 private:
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
    TracedNode& node = step_[std::string(name)];
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
  void ReadMemory(std::string_view bytes, TracedNode& node) {
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) node.temp = std::max(node.temp, BoundedBytes(m.Int()));
      if (m.field() == 3) node.persistent = std::max(node.persistent, BoundedBytes(m.Int()));
    }
  }

  // NodeOutput
  void ReadOutput(std::string_view bytes, TracedNode& node) {
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
          if (allocation.field() == 1) requested = BoundedBytes(allocation.Int());
        }
      }
    }
    node.SetOutput(slot, TensorBytes(shape, type).value_or(requested));
  }

  const ProtobufSource& source_;
  TracedStep& step_;
};

}  // namespace

void ReadStepStats(std::string_view bytes, const ProtobufSource& source, TracedStep& step) {
  StepStatsReader reader(source, step);
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) reader.ReadDevice(m.Bytes());
  }
}

}  // namespace orchard::place::tensorflow
