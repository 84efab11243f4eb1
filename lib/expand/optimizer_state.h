// The optimiser's state of a grown model, so that training goes on rather than starting anew.
//
// Of a weight with source unit i (u_i copies) and input j, stored as s times the source's weight:
// copies of an input see the same activation, so their gradients repeat; copies of an output share
// what flows back, on average 1 / u_i each (exactly where the split is equal, and key-value heads
// keep the size of their query groups). Hence
//
//     m[i', c] = m[i, j] / (u_i s)        v[i', c] = v[i, j] / (u_i s)^2
//
// Padding starts with m = 0 and the mean v of its row, since AdamW would take a full step of its
// learning rate where v = 0. Tensors of new layers, and of methods that do not copy, get no state:
// they start with their own step counter.
#pragma once

#include <cstdint>
#include <filesystem>

#include "cli/fields.h"
#include "expand/plan.h"

namespace orchard::expand {

enum class StateGrowth {
  kReset,  // no state: every tensor starts anew
  kMap,    // as above
  kAsym    // as above for the first copy of each unit; the others as padding, which breaks symmetry
};
inline constexpr cli::EnumName<StateGrowth> kStateGrowthNames[] = {
    {"reset", StateGrowth::kReset}, {"map", StateGrowth::kMap}, {"asym", StateGrowth::kAsym}};
constexpr auto EnumNames(StateGrowth) { return std::span(kStateGrowthNames); }

// Writes `path` in the format of nn::Optimizer::ExportState: "step.NAME", "exp_avg.NAME",
// "exp_avg_sq.NAME" or "momentum_buffer.NAME", "master.NAME" (16-bit weights: the weights as
// stored), "ema.NAME" (expanded like the weights, with the same noise). `state` is that of the
// source, NAMEs being the names of its tensors. Row by row: memory holds two means per axis. Throws
// DataError for state of another model.
void GrowOptimizerState(const io::Checkpoint& state, const SourceModel& source, const Plan& plan,
                        StateGrowth growth, uint64_t seed, const std::filesystem::path& path);

}  // namespace orchard::expand
