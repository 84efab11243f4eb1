#include "place/moves.h"

#include "base/hash.h"

namespace orchard::place {
namespace {

constexpr int32_t kRegions = 7;  // sizes: 2^0 to 2^6 units

}  // namespace

RandomWords::RandomWords(uint64_t seed, uint64_t stream, uint64_t next_block)
    : key_(PhiloxKey(seed, Hash64("baechi-place refine"))),
      stream_(stream),
      next_block_(next_block) {}

bool MoveMaker::Move(const MoveUnits& units, std::vector<int32_t>& device) {
  moved_.clear();
  if (units.movable.empty()) return false;
  const auto device_of = [&](int32_t unit) { return device[units.ops[unit][0]]; };
  const int32_t unit = units.movable[random_.Below(static_cast<int32_t>(units.movable.size()))];
  const int32_t kind = random_.Below(4);
  int32_t to;
  if (kind == 3 && !units.neighbours[unit].empty()) {
    const auto& list = units.neighbours[unit];
    to = device_of(list[random_.Below(static_cast<int32_t>(list.size()))]);
  } else {
    to = random_.Below(devices_);
  }
  Region(units, device, unit, kind == 1 || kind == 2 ? 1 << random_.Below(kRegions) : 1);
  for (int32_t u : region_) {
    for (int32_t i : units.ops[u]) {
      if (device[i] == to) continue;
      moved_.emplace_back(i, device[i]);
      device[i] = to;
    }
  }
  return !moved_.empty();
}

void MoveMaker::Undo(std::vector<int32_t>& device) const {
  for (const auto& [op, was] : moved_) device[op] = was;
}

// Up to `size` movable units on the device of `unit` around it, nearest first.
void MoveMaker::Region(const MoveUnits& units, const std::vector<int32_t>& device, int32_t unit,
                       int32_t size) {
  const auto device_of = [&](int32_t u) { return device[units.ops[u][0]]; };
  const int32_t here = device_of(unit);
  region_ = {unit};
  ++stamp_;
  seen_[unit] = stamp_;
  for (size_t at = 0; at < region_.size() && static_cast<int32_t>(region_.size()) < size; ++at) {
    for (int32_t u : units.neighbours[region_[at]]) {
      if (seen_[u] == stamp_ || device_of(u) != here || units.pinned[u]) continue;
      seen_[u] = stamp_;
      region_.push_back(u);
      if (static_cast<int32_t>(region_.size()) == size) break;
    }
  }
}

}  // namespace orchard::place
