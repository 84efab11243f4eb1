// Values by name, in a graph and the graphs around it.
#pragma once

#include <string_view>
#include <unordered_map>

#include "place/onnx/inference.h"

namespace orchard::place::onnx {

struct Inference::Scope {
  const Scope* outer = nullptr;
  std::unordered_map<std::string_view, Value> values;

  const Value* Find(std::string_view name) const {
    for (const Scope* scope = this; scope; scope = scope->outer) {
      const auto found = scope->values.find(name);
      if (found != scope->values.end()) return &found->second;
    }
    return nullptr;
  }
};

// What one run of a subgraph makes and takes.
struct Inference::Body {
  std::vector<Value> outputs;
  double flops = 0, dense_flops = 0, us = 0, bwd_us = 0;
  int64_t parameters = 0;  // bytes of its own weights
  int64_t temp = 0;        // bytes of the largest value inside
};

}  // namespace orchard::place::onnx
