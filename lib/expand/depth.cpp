#include "expand/depth.h"

#include <algorithm>
#include <set>
#include <string>

#include "base/error.h"

namespace orchard::expand {
namespace {

// One pass of `last`: at most doubles. New layers follow each of the last target - n layers.
std::vector<LayerPlan> DoubleLast(const std::vector<LayerPlan>& layers, int64_t target) {
  const int64_t n = static_cast<int64_t>(layers.size());
  const int64_t keep = 2 * n - target;
  std::vector<LayerPlan> grown;
  for (int64_t i = 0; i < n; ++i) {
    grown.push_back(layers[i]);
    if (i >= keep) grown.push_back({layers[i].source, true});
  }
  return grown;
}

// The first layer that comes from a source layer is normal, every later one neutral.
std::vector<LayerPlan> RepeatsAreNeutral(std::vector<LayerPlan> layers) {
  std::set<int64_t> seen;
  for (LayerPlan& layer : layers) layer.neutral = !seen.insert(layer.source).second;
  return layers;
}

std::vector<LayerPlan> PlaceInGroups(int64_t source, int64_t target) {
  const int64_t added = target - source;
  if (added > 0 && source % added != 0) {
    throw ImpossibleError(
        "llama-pro adds a number of layers that divides " + std::to_string(source), "",
        "legal --layers: " + LlamaProCounts(source));
  }
  const int64_t group = added > 0 ? source / added : source + 1;
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < source; ++i) {
    layers.push_back({i});
    if ((i + 1) % group == 0) layers.push_back({i, true});
  }
  return layers;
}

}  // namespace

std::string LlamaProCounts(int64_t source) {
  std::string text;
  for (int64_t added = 1; added <= source; ++added) {
    if (source % added == 0) text += (text.empty() ? "" : ", ") + std::to_string(source + added);
  }
  return text;
}

std::vector<LayerPlan> StackLayers(int64_t source, int64_t target) {
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < target; ++i) layers.push_back({i % source});
  return layers;
}

std::vector<LayerPlan> InterpolateLayers(int64_t source, int64_t target) {
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < target; ++i) layers.push_back({i * source / target});
  return layers;
}

std::vector<LayerPlan> BlendLayers(int64_t source, int64_t target) {
  const int64_t steps = std::max<int64_t>(1, target - 1);
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < target; ++i) {
    const int64_t position = i * (source - 1);  // in units of 1 / steps
    layers.push_back(
        {.source = position / steps,
         .next_share = static_cast<double>(position % steps) / static_cast<double>(steps)});
  }
  return layers;
}

std::vector<LayerPlan> BetweenLayers(int64_t source, int64_t target) {
  const int64_t added = target - source;
  if (added > 0 && source < 3) {
    throw ImpossibleError("lesa learns a layer from those before and after it, which takes three",
                          "the source has " + std::to_string(source) + " layers");
  }
  if (added > source - 1) {
    throw ImpossibleError("lesa puts one new layer between two neighbours", "",
                          "legal --layers: up to " + std::to_string(2 * source - 1) +
                              "; expand the result again for more");
  }
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < source; ++i) {
    layers.push_back({i});
    if (i >= source - 1 - added && i < source - 1) layers.push_back({i, true});
  }
  return layers;
}

std::vector<LayerPlan> SolarLayers(int64_t source, int64_t drop) {
  if (drop >= source) {
    throw UsageError("--solar-drop " + std::to_string(drop) + " leaves no layer of " +
                     std::to_string(source));
  }
  std::vector<LayerPlan> layers;
  for (int64_t i = 0; i < source - drop; ++i) layers.push_back({i});
  for (int64_t i = drop; i < source; ++i) layers.push_back({i});
  return layers;
}

std::vector<LayerPlan> PlaceLayers(int64_t source, int64_t target, Placement placement) {
  switch (placement) {
    case Placement::kInterpolate:
      return RepeatsAreNeutral(InterpolateLayers(source, target));
    case Placement::kStack:
      return RepeatsAreNeutral(StackLayers(source, target));
    case Placement::kLlamaPro:
      return PlaceInGroups(source, target);
    default:
      break;
  }
  std::vector<LayerPlan> layers = StackLayers(source, source);
  while (static_cast<int64_t>(layers.size()) < target) {
    const int64_t next = std::min<int64_t>(target, 2 * static_cast<int64_t>(layers.size()));
    layers = DoubleLast(layers, next);
  }
  return layers;
}

}  // namespace orchard::expand
