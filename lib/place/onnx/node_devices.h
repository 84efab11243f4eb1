// Which device every node of a model is on, from the placement of a graph that was made of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "place/graph.h"
#include "place/onnx/model.h"

namespace orchard::place::onnx {

struct NodeDevices {
  std::vector<int32_t> device;  // of every node; -1: wherever it is read (it computes on constants)
  std::vector<int32_t> order;   // in which the nodes can run
  std::unordered_map<std::string_view, int32_t> producer;  // node that makes a value
};

// `device` of every operator of `graph`. Nodes that are no operators of it go where what they read
// is made. Throws DataError when the graph was not made of this model.
NodeDevices FindNodeDevices(const Model& model, const Graph& graph,
                            const std::vector<int32_t>& device);

}  // namespace orchard::place::onnx
