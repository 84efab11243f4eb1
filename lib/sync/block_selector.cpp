#include "sync/block_selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/permutation.h"
#include "base/philox.h"

namespace orchard::sync {
namespace {

void Append(Selection& selection, Range run) {
  selection.count += run.size();
  if (!selection.runs.empty() && selection.runs.back().end == run.begin) {
    selection.runs.back().end = run.end;
  } else {
    selection.runs.push_back(run);
  }
}

// In [0, count), from a uniform word.
int64_t Below(uint32_t word, int64_t count) {
  return static_cast<int64_t>(uint64_t{word} * static_cast<uint64_t>(count) >> 32);
}

int64_t SlabLength(int64_t size, int64_t sparsity) {
  const double part = static_cast<double>(size) / static_cast<double>(sparsity);
  return std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(part)));
}

// Elements of the slab of a tensor on average over its draws.
double MeanSlab(const Slot& slot, const SlabSparsity& s) {
  const auto mean = [](int64_t size, int64_t sparsity) {
    const int64_t length = SlabLength(size, sparsity);
    return static_cast<double>(size) / static_cast<double>((size + length - 1) / length);
  };
  double elements = static_cast<double>(slot.count);
  if (!slot.shape.empty()) {
    elements *= mean(slot.shape[0], s.dim0) / static_cast<double>(slot.shape[0]);
  }
  if (slot.shape.size() >= 2) {
    elements *= mean(slot.shape[1], s.dim1) / static_cast<double>(slot.shape[1]);
  }
  return elements / static_cast<double>(s.layers);
}

}  // namespace

Range SlabOf(int64_t size, int64_t sparsity, uint32_t draw) {
  const int64_t length = SlabLength(size, sparsity);
  const int64_t begin = length * Below(draw, (size + length - 1) / length);
  return {begin, std::min(begin + length, size)};
}

int64_t BlockFor(const SelectorOptions& options, int64_t arena_size) {
  if (options.block > 0) return options.block;
  int64_t block = 1024;
  while (block > 32 &&
         4 * options.ratio * static_cast<double>(block) > static_cast<double>(arena_size)) {
    block /= 2;
  }
  return block;
}

BlockSelector::BlockSelector(const ArenaLayout& layout, const SelectorOptions& options,
                             uint64_t seed, std::string_view stream)
    : layout_(layout), options_(options), seed_(seed), purpose_(Hash64(stream)) {
  options_.block = BlockFor(options, layout.size());
  blocks_ = (layout.size() + options_.block - 1) / options_.block;
  chosen_ =
      std::clamp<int64_t>(std::llround(static_cast<double>(blocks_) / options.ratio), 1, blocks_);
  if (options.layout == BlockLayout::kFlat && options.ratio > 1 &&
      options.ratio > static_cast<double>(blocks_) / 2) {
    throw UsageError(
        fmt::format("a ratio of {:g} is more than half of the {} blocks of {} elements",
                    options.ratio, blocks_, options_.block),
        "compress.ratio, compress.block", "a lower ratio, or a smaller block");
  }
}

Selection BlockSelector::At(int64_t draw) const {
  return options_.layout == BlockLayout::kFlat ? Flat(draw) : Official(draw);
}

Selection BlockSelector::Flat(int64_t draw) const {
  Selection selection;
  if (chosen_ == blocks_) {
    Append(selection, {0, layout_.size()});
    return selection;
  }
  const bool cyclic = options_.order == BlockOrder::kCyclic;
  const int64_t epoch = cyclic ? draw / cycle() : draw;
  const int64_t first = cyclic ? draw % cycle() * chosen_ : 0;
  const int64_t last = std::min(first + chosen_, blocks_);
  const Permutation order(blocks_, seed_, purpose_, static_cast<uint64_t>(epoch));
  std::vector<int64_t> taken;
  taken.reserve(static_cast<size_t>(last - first));
  for (int64_t i = first; i < last; ++i) taken.push_back(order(i));
  std::sort(taken.begin(), taken.end());
  for (const int64_t block : taken) {
    const int64_t begin = block * options_.block;
    Append(selection, {begin, std::min(begin + options_.block, layout_.size())});
  }
  return selection;
}

Selection BlockSelector::Official(int64_t draw) const {
  const Philox2 key = PhiloxKey(seed_, purpose_);
  Selection selection;
  for (size_t i = 0; i < layout_.slots().size(); ++i) {
    const Slot& slot = layout_.slots()[i];
    const Philox4 random = PhiloxAt(key, i, static_cast<uint64_t>(draw));
    if (Below(random.word[0], options_.slab.layers) != 0) continue;
    const int64_t dim0 = slot.shape.empty() ? 1 : slot.shape[0];
    const int64_t dim1 = slot.shape.size() < 2 ? 1 : slot.shape[1];
    const int64_t rest = slot.count / (dim0 * dim1);
    const Range rows = SlabOf(dim0, options_.slab.dim0, random.word[1]);
    const Range columns =
        slot.shape.size() < 2 ? Range{0, 1} : SlabOf(dim1, options_.slab.dim1, random.word[2]);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const int64_t begin = slot.offset + row * dim1 * rest;
      Append(selection, {begin + columns.begin * rest, begin + columns.end * rest});
    }
  }
  return selection;
}

double BlockSelector::Ratio() const {
  if (options_.layout == BlockLayout::kFlat) {
    const auto blocks = static_cast<double>(blocks_);
    const bool cyclic = options_.order == BlockOrder::kCyclic;
    return cyclic ? static_cast<double>(cycle()) : blocks / static_cast<double>(chosen_);
  }
  double elements = 0;
  for (const Slot& slot : layout_.slots()) elements += MeanSlab(slot, options_.slab);
  return static_cast<double>(layout_.elements()) / elements;
}

}  // namespace orchard::sync
