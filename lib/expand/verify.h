// Does the expanded model compute what its source computes? Both run over the same inputs, one
// layer of each in memory at a time, so models far larger than memory can be checked. After every
// layer the target's residual stream must be the source's with its copies and padding; at the end
// outputs are compared.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "expand/tensor_op.h"

namespace orchard::expand {

enum class ComputeType { kF64, kF32, kBf16 };
inline constexpr cli::EnumName<ComputeType> kComputeTypeNames[] = {
    {"f64", ComputeType::kF64}, {"f32", ComputeType::kF32}, {"bf16", ComputeType::kBf16}};
constexpr auto EnumNames(ComputeType) { return std::span(kComputeTypeNames); }

struct VerifyOptions {
  ComputeType compute = ComputeType::kF64;
  std::filesystem::path tokens;  // a text file, one sequence per line; empty: random inputs
  std::filesystem::path images;  // HDF5, IDX or a folder of pictures; empty: random ones
  int64_t batch = 4;
  int64_t length = 64;  // tokens of a sequence
  bool layerwise = false;
  std::optional<double> tolerance;

  void Fields(cli::FieldVisitor& f) {
    f("compute", compute, "arithmetic of both forward passes");
    f("tokens", tokens,
      "text file, a sequence per line, read with SRC's tokenizer; default: random inputs");
    f("images", images,
      "HDF5 or IDX file, or folder of pictures, for models of images; default: random ones");
    f("batch", batch, "sequences or images", cli::Between(1, 4096));
    f("length", length, "tokens of a sequence", cli::Between(2, 1 << 20));
    f("layerwise", layerwise, "print the deviation after every layer");
    f("tolerance", tolerance,
      "largest difference, relative to the largest output; default: by exactness class",
      cli::Positive());
  }
};

// How far the target is from the source at one place.
struct Deviation {
  std::string place;    // "embedding", "layer 3", "token_logits"
  double largest = 0;   // max |difference| over the copies
  double relative = 0;  // the same, relative to the largest value of the source
  double padding = 0;   // largest deviation of padding from its promise (zero, or the mean)
  int64_t layers = 0;   // of the target, passed before this place
};

struct VerifyResult {
  bool passed = false;
  std::string exactness;  // class that the target was written with, "?" where unknown
  double tolerance = 0;
  std::vector<Deviation> layers, outputs;
  std::string first_bad;  // first place beyond the tolerance; empty
  double relative = 0;    // worst of the outputs
  // Of token or class logits, where there are any:
  std::optional<double> kullback_leibler, top1_agreement, loss_source, loss_target;
  // Of mean-pooled, normalised hidden states: largest difference of a pairwise cosine.
  std::optional<double> cosine_difference;
  int64_t source_bytes = 0, target_bytes = 0;  // of the largest layer held in memory
};

// Throws DataError, ImpossibleError. `on_layer` is called after each target layer. A verification
// that fails is a result, not an exception. Source: docs/methods/lemon-expand.md, "Exactness
// classes and tolerances".
VerifyResult Verify(const std::filesystem::path& source, const std::filesystem::path& target,
                    const VerifyOptions& options, uint64_t seed,
                    const std::filesystem::path& arch_map = {},
                    const std::function<void(int64_t done, int64_t total)>& on_layer = {});

}  // namespace orchard::expand
