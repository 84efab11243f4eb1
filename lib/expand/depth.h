// Which source layer each target layer comes from, and which target layers must change nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "expand/options.h"

namespace orchard::expand {

struct LayerPlan {
  int64_t source = 0;    // layer whose tensors are expanded
  bool neutral = false;  // a new layer: its output projections vanish
  double attention_scale = 1,
         mlp_scale = 1;   // multiply the output projections (`scale` of a slice)
  double next_share = 0;  // of layer source + 1 in a blend; the rest is layer `source`
};

// Layers of the target for a placement of new, neutral layers. Source: LEMON, sec. 3.4.
//   last         after each of the last target - source layers; repeated where more than twice the
//   layers are asked for interpolate  layer i comes from floor(i source / target); repeats are
//   neutral stack        layer i comes from i mod source; repeats are neutral llama-pro    after
//   every source / (target - source) layers; throws ImpossibleError where that does not divide
std::vector<LayerPlan> PlaceLayers(int64_t source, int64_t target, Placement placement);

// The layer counts that kLlamaPro reaches, as text.
std::string LlamaProCounts(int64_t source);

// The lossy depth methods, which copy without neutralising.
std::vector<LayerPlan> StackLayers(int64_t source, int64_t target);
std::vector<LayerPlan> InterpolateLayers(int64_t source, int64_t target);
// LiGO's start: target layers evenly spaced from the first source layer to the last, each a blend
// of the two that it stands between.
std::vector<LayerPlan> BlendLayers(int64_t source, int64_t target);
// LESA: a new layer between the two of each of the last target - source neighbouring pairs. Throws
// ImpossibleError where there are not so many pairs, or fewer than three layers to learn from.
std::vector<LayerPlan> BetweenLayers(int64_t source, int64_t target);
// SOLAR: the first source - drop layers of one copy, then the last source - drop of another.
std::vector<LayerPlan> SolarLayers(int64_t source, int64_t drop);

}  // namespace orchard::expand
