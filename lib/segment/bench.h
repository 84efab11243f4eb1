// Time and memory of the kernels against the same mathematics from LibTorch's operations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::segment {

enum class BenchKind { kAttention, kLoss, kNorm };
inline constexpr cli::EnumName<BenchKind> kBenchKindNames[] = {
    {"attention", BenchKind::kAttention}, {"loss", BenchKind::kLoss}, {"norm", BenchKind::kNorm}};
constexpr auto EnumNames(BenchKind) { return std::span(kBenchKindNames); }

struct BenchOptions {
  BenchKind what = BenchKind::kAttention;
  int64_t tokens = 4096, channels = 64, classes = 3, batch = 1;
  std::vector<int64_t> size = {40, 56, 40};
  int64_t repeats = 5;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("what", what, "attention, loss or norm");
    f("tokens", tokens, "attention: tokens of image and template", cli::AtLeast(1));
    f("channels", channels, "attention: of keys and values; norm: of the map", cli::AtLeast(1));
    f("classes", classes, "classes, background included", cli::AtLeast(1));
    f("batch", batch, "images", cli::AtLeast(1));
    f("size", size, "loss, norm: voxels along i,j,k", cli::AtLeast(1));
    f("repeats", repeats, "the fastest of so many counts", cli::AtLeast(1));
  }
};

// The fastest of the repeats.
struct BenchResult {
  std::string name;  // "kernel forward", ...
  double wall_seconds = 0;
  double cpu_seconds = 0;   // of all threads
  int64_t extra_bytes = 0;  // resident at the peak beyond what was before; 0 where unknown
};

std::vector<BenchResult> Bench(const BenchOptions& options, uint64_t seed);

}  // namespace orchard::segment
