// What `siamese-seg export` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "cli/fields.h"

namespace orchard::segment {

enum class WeightType { kF32, kBf16, kF16 };
inline constexpr cli::EnumName<WeightType> kWeightTypeNames[] = {
    {"f32", WeightType::kF32}, {"bf16", WeightType::kBf16}, {"f16", WeightType::kF16}};
constexpr auto EnumNames(WeightType) { return std::span(kWeightTypeNames); }

struct ExportModelOptions {
  std::filesystem::path model, output;
  WeightType dtype = WeightType::kF32;
  std::optional<int64_t> templates;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "run directory of train or its folder final");
    f.Positional("output", output, "file to write: .safetensors, or .pt for TorchScript");
    f("dtype", dtype, "type of weights and template images in the file; TorchScript is f32");
    f("templates", templates,
      "keep this many templates, the best medoids (default: all; of TorchScript the best one)",
      cli::AtLeast(0));
  }
};

}  // namespace orchard::segment
