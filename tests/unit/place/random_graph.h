// Random graphs for properties.
#pragma once

#include <fmt/format.h>
#include <rapidcheck.h>

#include <string>

#include "place/graph.h"

namespace orchard::place {

struct RandomGraphOptions {
  int max_ops = 14;
  int min_us = 0, max_us = 12;
  int max_cost = 12;
  bool groups = true;
};

// Operators in random order of names, several tensors per producer, some with stated groups,
// parameters, scratch and unread outputs.
inline Graph RandomGraph(const RandomGraphOptions& options = {}) {
  const auto pick = [](int low, int high) { return *rc::gen::inRange(low, high + 1); };
  GraphBuilder builder("random");
  const int n = pick(1, options.max_ops);
  for (int i = 0; i < n; ++i) {
    Op op{.name = fmt::format("op{}", i),
          .us = static_cast<double>(pick(options.min_us, options.max_us)),
          .perm = pick(0, 40),
          .temp = pick(0, 20),
          .out = {pick(0, 30), pick(0, 30)}};
    if (options.groups && pick(0, 2) == 0) op.groups.push_back(fmt::format("g{}", pick(0, 3)));
    builder.AddOp(op, "");
  }
  const int density = pick(0, 4);
  for (int j = 1; j < n; ++j) {
    for (int i = 0; i < j; ++i) {
      if (pick(0, 4) > density) continue;
      const int port = pick(0, 1);
      const std::string tensor = fmt::format("op{}:{}", i, port);
      builder.AddUse(i, j, tensor, static_cast<double>(builder.graph.ops[i].out[port]), -1, "");
      if (pick(0, 5) == 0) {
        builder.AddUse(i, j, fmt::format("op{}:{}", i, 1 - port),
                       static_cast<double>(builder.graph.ops[i].out[1 - port]), -1, "");
      }
    }
  }
  return builder.Build();
}

}  // namespace orchard::place
