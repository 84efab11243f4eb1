// Mixed precision as an option.
#pragma once

#include <span>

#include "cli/fields.h"

namespace orchard::segment {

// Type of convolutions and projections; weights, norms, attention and loss stay f32.
enum class Amp { kAuto, kOff, kBf16, kFp16 };
inline constexpr cli::EnumName<Amp> kAmpNames[] = {
    {"auto", Amp::kAuto}, {"off", Amp::kOff}, {"bf16", Amp::kBf16}, {"fp16", Amp::kFp16}};
constexpr auto EnumNames(Amp) { return std::span(kAmpNames); }

inline constexpr const char* kAmpHelp =
    "type of convolutions and projections, beside f32 weights; auto: bf16 on a GPU, f32 (off) on "
    "the CPU";

}  // namespace orchard::segment
