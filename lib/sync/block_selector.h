// Which parts of the arena a message carries: the globally randomised blockwise sparsifier (GRBS)
// of CSER. Every rank draws the same blocks, so a partial synchronisation is one dense all-reduce
// of what is selected, without indices.
//
// A draw is a function of (seed, stream, number of the draw) alone. There is no generator to share:
// a rank that resumes, evaluates or skips cannot fall out of step.
//
// Source: CSER, sec. 3 (GRBS); docs/methods/cser-train.md for the keyed draw and the cyclic order.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cli/fields.h"
#include "comm/buffer.h"
#include "sync/arena.h"

namespace orchard::sync {

using comm::Range;

enum class BlockLayout { kFlat, kOfficial };
inline constexpr cli::EnumName<BlockLayout> kBlockLayoutNames[] = {
    {"flat", BlockLayout::kFlat}, {"official", BlockLayout::kOfficial}};
constexpr auto EnumNames(BlockLayout) { return std::span(kBlockLayoutNames); }

enum class BlockOrder { kCyclic, kUniform };
inline constexpr cli::EnumName<BlockOrder> kBlockOrderNames[] = {{"cyclic", BlockOrder::kCyclic},
                                                                 {"uniform", BlockOrder::kUniform}};
constexpr auto EnumNames(BlockOrder) { return std::span(kBlockOrderNames); }

// One part in `dim0` of the first axis, one in `dim1` of the second, one tensor in `layers`.
struct SlabSparsity {
  int64_t dim0 = 1, dim1 = 1, layers = 1;
};

struct SelectorOptions {
  double ratio = 1;  // arena / selected, >= 1; 1 selects everything
  // Flat layout: elements of a block of the arena, the last one short; 0: see BlockFor.
  int64_t block = 1024;
  BlockOrder order = BlockOrder::kCyclic;
  // Official layout: one slab per tensor in place of blocks. `ratio` is not used.
  BlockLayout layout = BlockLayout::kFlat;
  SlabSparsity slab;
};

// Disjoint ranges of the arena in rising order.
struct Selection {
  std::vector<Range> runs;
  int64_t count = 0;  // elements of all runs
};

// The block size that is used: the one of the options, or the largest power of two from 32 to 1024
// that leaves four times as many blocks as the ratio.
int64_t BlockFor(const SelectorOptions& options, int64_t arena_size);

class BlockSelector {
 public:
  // `stream` names what the draws are for ("C1", "C2"): streams are independent. `layout` must
  // outlive the selector. Throws UsageError when the ratio is larger than half the number of
  // blocks.
  BlockSelector(const ArenaLayout& layout, const SelectorOptions& options, uint64_t seed,
                std::string_view stream);

  // draw >= 0.
  Selection At(int64_t draw) const;

  // Of the flat layout: how many blocks there are, how many a draw takes, and after how many draws
  // the cyclic order has taken every block once (the last of them may take fewer).
  int64_t blocks() const { return blocks_; }
  int64_t chosen() const { return chosen_; }
  int64_t cycle() const { return (blocks_ + chosen_ - 1) / chosen_; }

  // Arena / selected, of the elements that a draw takes on average.
  double Ratio() const;
  const SelectorOptions& options() const { return options_; }

 private:
  Selection Flat(int64_t draw) const;
  Selection Official(int64_t draw) const;

  const ArenaLayout& layout_;
  SelectorOptions options_;
  uint64_t seed_, purpose_;
  int64_t blocks_ = 0, chosen_ = 0;
};

// The slab [begin, end) of an axis of `size` that the released code takes: one part in `sparsity`,
// rounded half to even and at least 1, beginning at a multiple of its length. `draw` is uniform in
// [0, 2^32).
Range SlabOf(int64_t size, int64_t sparsity, uint32_t draw);

}  // namespace orchard::sync
