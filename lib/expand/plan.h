// From a source model and wishes to a complete list of instructions: every target tensor, the
// edited configuration, and how exact the result is. No weights are read here, so a plan takes
// milliseconds whatever the model's size.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "expand/depth.h"
#include "expand/options.h"
#include "expand/tensor_op.h"
#include "io/safetensors.h"

namespace orchard::expand {

using arch::Json;
using arch::Sizes;

// A model directory (or file) that is open for reading.
struct SourceModel {
  std::filesystem::path path;       // as given
  std::filesystem::path directory;  // where config.json is; empty for a lone file
  arch::Architecture architecture;
  Json config;
  Sizes sizes;
  io::Checkpoint weights;
};

// Opens SRC: a Hugging Face directory, a file with timm's names of a ViT, or a file or directory
// with torchvision's names of a ResNet. `arch_map` is a
// user's architecture table; empty: by model_type. Throws DataError (file and place) and
// ImpossibleError (unknown model_type, refused setting).
SourceModel OpenModel(const std::filesystem::path& path, const std::filesystem::path& arch_map);

// Under the names of the flags: hidden, ..., ffn, layers; or channels, width_per_group, depths.
Json ToJson(const Sizes& sizes);

// One map for each axis that grows.
template <class Map>
struct GrownAxes {
  std::shared_ptr<const Map> residual, transform, query_heads, kv_heads, query, key_value, hidden;
};
using AxisMaps = GrownAxes<AxisMap>;  // copies and padding
using MixMaps = GrownAxes<MixMap>;    // weighted sums

// Maps of a ResNet's axes by the letters of arch::ResNetTensor: S, C1 to C4, I1 to I4.
using StageMaps = std::map<std::string, AxisMapPtr>;

struct Plan {
  Method method = Method::kLemon;
  Sizes source, target;
  AxisMaps maps;         // of a Transformer
  StageMaps stage_maps;  // of a ResNet
  std::vector<LayerPlan> layers;
  std::vector<TensorOp> tensors;  // ordered by name
  Json config;                    // of the target
  double epsilon_before = 0, epsilon_after = 0;
  bool lossless = true;  // the target computes the source's function, up to `exactness`
  Exactness exactness = Exactness::kExact;
  std::vector<std::string> warnings;

  int64_t parameters() const;
  int64_t bytes() const;
};

// The target's sizes: wishes over the source's, with what follows from them (TargetOptions). Throws
// UsageError where a size is smaller than the source's, ImpossibleError where the architecture has
// no such model.
Sizes ResolveSizes(const arch::Architecture& architecture, const Sizes& source,
                   const TargetOptions& target, const MethodOptions& options);

// Throws ImpossibleError with the rule that is broken and the nearest legal sizes, DataError for
// tensors that the architecture does not know, lacks, or that have the wrong shape.
Plan MakePlan(const SourceModel& source, const TargetOptions& target, const MethodOptions& options);

// The two kinds of plans that MakePlan chooses from.
Plan PlanTransformer(const SourceModel& source, const TargetOptions& target,
                     const MethodOptions& options);
Plan PlanResNet(const SourceModel& source, const TargetOptions& target,
                const MethodOptions& options);

}  // namespace orchard::expand
