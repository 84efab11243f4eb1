#include <algorithm>
#include <vector>

#include "place/tensorflow/traced_step.h"

namespace orchard::place::tensorflow {
namespace {

// CostGraphDef.Node; what StepStats says of the same node wins.
void ReadCost(std::string_view bytes, const ProtobufSource& source, TracedStep& step) {
  std::string_view name;
  int64_t cost = 0, temp = 0, persistent = 0;
  std::vector<int64_t> sizes;
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 1:
        name = m.Bytes();
        break;
      case 5: {
        int64_t size = 0;
        ProtobufMessage info(m.Bytes(), source);
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
  TracedNode& node = step[std::string(name)];
  if (!node.timed && cost > 0) {
    node.timed = true;
    node.host_us = std::min(static_cast<double>(cost), 1e12);
  }
  if (node.temp == 0) node.temp = BoundedBytes(temp);
  if (node.persistent == 0) node.persistent = BoundedBytes(persistent);
  if (!node.out.empty()) return;
  for (size_t k = 0; k < sizes.size(); ++k) node.SetOutput(static_cast<int64_t>(k), sizes[k]);
}

}  // namespace

void ReadCostGraph(std::string_view bytes, const ProtobufSource& source, TracedStep& step) {
  ProtobufMessage m(bytes, source);
  while (m.Next()) {
    if (m.field() == 1) ReadCost(m.Bytes(), source, step);
  }
}

}  // namespace orchard::place::tensorflow
