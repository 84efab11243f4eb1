#include "expand/resnet_sizes.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace orchard::expand {
namespace {

using arch::kResNetStages;
using arch::ResNetShape;

constexpr int64_t kMostBlocks = 10000;  // of a stage

std::string DepthsText(const std::array<int64_t, kResNetStages>& blocks) {
  std::string text;
  for (const int64_t n : blocks) text += (text.empty() ? "" : ",") + std::to_string(n);
  return text;
}

// The blocks of one stage, numbered within it.
std::vector<LayerPlan> PlaceInStage(int64_t from, int64_t to, const Recipe& recipe,
                                    const MethodOptions& options) {
  if (options.method == Method::kInterpolate) return InterpolateLayers(from, to);
  if (recipe.depth == Recipe::Depth::kCopy) return StackLayers(from, to);
  const bool groups =
      options.method == Method::kLlamaPro || options.placement == Placement::kLlamaPro;
  if (groups && to > from && from % (to - from) != 0) {
    throw ImpossibleError("llama-pro adds a number of blocks that divides " + std::to_string(from) +
                              ", not " + std::to_string(to - from),
                          "--depths", "legal for this stage: " + LlamaProCounts(from));
  }
  return PlaceLayers(from, to, groups ? Placement::kLlamaPro : options.placement);
}

}  // namespace

Sizes SizesOf(const ResNetShape& shape) {
  Sizes sizes;
  sizes.layers = shape.Depth();
  sizes.resnet = shape;
  return sizes;
}

Sizes ResolveResNetSizes(const ResNetShape& source, const TargetOptions& target) {
  if (target.hidden || target.heads || target.kv_heads || target.ffn || target.layers) {
    throw UsageError("--hidden, --heads, --kv-heads, --ffn and --layers are sizes of Transformers",
                     "", "a ResNet grows by --width-per-group, --channels and --depths");
  }
  if (!target.depths.empty() && target.depths.size() != kResNetStages) {
    throw UsageError("--depths has " + std::to_string(target.depths.size()) + " numbers", "",
                     "one for each of the four stages, e.g. " + DepthsText(source.blocks));
  }
  ResNetShape shape = source;
  shape.stem = target.channels.value_or(source.stem);
  const bool one_width = !source.bottleneck && source.inner == source.stem;
  shape.inner = target.width_per_group.value_or(one_width ? shape.stem : source.inner);
  if (!target.depths.empty()) {
    std::copy(target.depths.begin(), target.depths.end(), shape.blocks.begin());
  }
  CheckNotHuge("channels", shape.stem, kMaxCopies * source.stem);
  CheckNotHuge("width-per-group", shape.inner, kMaxCopies * source.inner);
  CheckNotSmaller("channels", source.stem, shape.stem);
  CheckNotSmaller("width-per-group", source.inner, shape.inner);
  for (int stage = 0; stage < kResNetStages; ++stage) {
    CheckNotHuge("depths", shape.blocks[stage], std::max(kMostBlocks, source.blocks[stage]));
    if (shape.blocks[stage] < source.blocks[stage]) {
      throw UsageError("--depths " + DepthsText(shape.blocks) + " is less than the source's " +
                           DepthsText(source.blocks),
                       "", "expansion only grows");
    }
  }
  return SizesOf(shape);
}

void CheckResNetReachable(const ResNetShape& source, const ResNetShape& target,
                          const MethodOptions& options) {
  switch (options.method) {
    case Method::kAki:
    case Method::kSolar:
    case Method::kSlices:
    case Method::kLigoInit:
    case Method::kLesa:
      throw ImpossibleError(
          std::string(Name(options.method)) + " is not defined for residual networks",
          "--method " + std::string(Name(options.method)),
          "lemon, net2net, fpi, stackbert, interpolate, llama-pro, hypercloning, zero-pad and "
          "random are");
    default:
      break;
  }
  if (options.depth_type == DepthType::kCancel) {
    throw ImpossibleError("new blocks of residual networks end in a norm, which has to be silent",
                          "--depth-type cancel", "zero is the only type");
  }
  if (options.inner == Inner::kAki) {
    throw ImpossibleError("aki is not defined for residual networks", "--inner aki");
  }
  if (options.method != Method::kHyperCloning) return;
  if (target.stem % source.stem != 0 || target.inner % source.inner != 0) {
    throw ImpossibleError("hypercloning grows channels only to multiples", "",
                          "nearest legal: --channels " +
                              NearestMultiples(target.stem, source.stem) + " --width-per-group " +
                              NearestMultiples(target.inner, source.inner));
  }
}

StageMaps MakeStageMaps(const ResNetShape& source, const ResNetShape& target,
                        const Recipe& recipe) {
  const auto grow = [&](int64_t from, int64_t to) -> AxisMapPtr {
    const auto make = [](AxisMap map) { return std::make_shared<const AxisMap>(std::move(map)); };
    switch (recipe.width) {
      case Recipe::Width::kRandomCopies:
        return make(AxisMap::RandomCopies(from, to, 0));
      case Recipe::Width::kIdentityPad:
        return make(AxisMap::IdentityThenPad(from, to));
      default:
        return make(AxisMap::Circular(from, to));
    }
  };
  StageMaps maps;
  maps["S"] = grow(source.stem, target.stem);
  for (int stage = 0; stage < kResNetStages; ++stage) {
    const std::string number = std::to_string(stage + 1);
    maps["C" + number] = grow(source.Channels(stage), target.Channels(stage));
    maps["I" + number] = grow(source.Inner(stage), target.Inner(stage));
  }
  // Basic blocks of the first stage add to what the stem gives.
  if (!source.bottleneck) maps["C1"] = maps["S"];
  return maps;
}

std::vector<LayerPlan> PlaceBlocks(const ResNetShape& source, const ResNetShape& target,
                                   const Recipe& recipe, const MethodOptions& options) {
  std::vector<LayerPlan> all;
  int64_t first = 0;
  for (int stage = 0; stage < kResNetStages; ++stage) {
    const int64_t from = source.blocks[stage], to = target.blocks[stage];
    std::vector<LayerPlan> blocks = PlaceInStage(from, to, recipe, options);
    for (size_t i = 1; i < blocks.size(); ++i) {
      if (!source.HasDownsample(stage, blocks[i].source)) continue;
      if (from == 1) {
        std::array<int64_t, kResNetStages> legal = target.blocks;
        legal[stage] = 1;
        throw ImpossibleError("the only block of stage " + std::to_string(stage + 1) +
                                  " changes the size of what it passes on, so no block can be "
                                  "added after its likeness",
                              "--depths " + DepthsText(target.blocks),
                              "nearest legal: --depths " + DepthsText(legal));
      }
      blocks[i].source = 1;
    }
    for (LayerPlan& block : blocks) {
      block.source += first;
      all.push_back(block);
    }
    first += from;
  }
  return all;
}

}  // namespace orchard::expand
