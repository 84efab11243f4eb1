// What a forward pass in training needs beyond the batch: which random numbers its dropouts draw.
// They depend on the seed, the pass and the place in the network alone, so a resumed run and a
// recomputed layer draw the same ones.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/hash.h"
#include "nn/fused_ops.h"

namespace orchard::nn {

struct TrainingContext {
  uint64_t seed = 0;
  uint64_t pass =
      0;  // a number of its own for every forward pass: step, or step x micro-batches + micro-batch

  bool recompute_layers = false;  // keep only what enters a layer; see recompute.h

  // `place` names the kind of dropout ("attention", "mlp", ...), `layer` where it stands.
  DropoutRandom Random(std::string_view place, int64_t layer) const {
    return {PhiloxKey(seed, Hash64(place)), pass << 16 | static_cast<uint64_t>(layer)};
  }
};

}  // namespace orchard::nn
