#include "expand/axis_map.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"

namespace orchard::expand {

AxisMap::AxisMap(int64_t source_size, std::vector<int64_t> entries)
    : source_size_(source_size), entries_(std::move(entries)), copies_(source_size, 0) {
  for (int64_t source : entries_) {
    if (source == kPad) {
      ++pads_;
    } else {
      ++copies_.at(source);
    }
  }
  FindRuns();
}

AxisMap AxisMap::Identity(int64_t size) { return Circular(size, size); }

AxisMap AxisMap::Circular(int64_t source, int64_t target) {
  std::vector<int64_t> entries(target);
  for (int64_t t = 0; t < target; ++t) entries[t] = t % source;
  return AxisMap(source, std::move(entries));
}

AxisMap AxisMap::Padded(int64_t source, int64_t target) {
  std::vector<int64_t> entries(target, kPad);
  const int64_t whole = target / source * source;
  for (int64_t t = 0; t < whole; ++t) entries[t] = t % source;
  return AxisMap(source, std::move(entries));
}

AxisMap AxisMap::IdentityThenPad(int64_t source, int64_t target) {
  std::vector<int64_t> entries(target, kPad);
  std::iota(entries.begin(), entries.begin() + std::min(source, target), int64_t{0});
  return AxisMap(source, std::move(entries));
}

AxisMap AxisMap::RandomCopies(int64_t source, int64_t target, uint64_t seed) {
  std::vector<int64_t> entries(target);
  const Philox2 key = PhiloxKey(seed, Hash64("axis map"));
  for (int64_t t = 0; t < target; ++t) {
    const uint64_t draw = PhiloxAt(key, t).word[0];
    entries[t] = t < source ? t : static_cast<int64_t>(draw * source >> 32);
  }
  return AxisMap(source, std::move(entries));
}

AxisMap AxisMap::Blocks(const AxisMap& units, int64_t width) {
  std::vector<int64_t> entries(units.size() * width, kPad);
  for (int64_t t = 0; t < units.size(); ++t) {
    if (units[t] == kPad) continue;
    for (int64_t l = 0; l < width; ++l) entries[t * width + l] = units[t] * width + l;
  }
  return AxisMap(units.source_size() * width, std::move(entries));
}

AxisMap AxisMap::Concatenate(const std::vector<AxisMap>& parts) {
  std::vector<int64_t> entries;
  int64_t offset = 0;
  for (const AxisMap& part : parts) {
    for (int64_t source : part.entries())
      entries.push_back(source == kPad ? kPad : source + offset);
    offset += part.source_size();
  }
  return AxisMap(offset, std::move(entries));
}

bool AxisMap::identity() const {
  if (size() != source_size_) return false;
  for (int64_t t = 0; t < size(); ++t) {
    if (entries_[t] != t) return false;
  }
  return true;
}

bool AxisMap::uniform() const {
  return std::all_of(copies_.begin(), copies_.end(), [&](int64_t n) { return n == copies_[0]; });
}

bool AxisMap::covers_every_source() const {
  return std::none_of(copies_.begin(), copies_.end(), [](int64_t n) { return n == 0; });
}

void AxisMap::FindRuns() {
  std::vector<std::vector<int64_t>> preimages(source_size_);
  for (int64_t t = 0; t < size(); ++t) {
    if (entries_[t] != kPad) {
      preimages[entries_[t]].push_back(t);
    } else if (!pad_runs_.empty() && pad_runs_.back().target + pad_runs_.back().length == t) {
      ++pad_runs_.back().length;
    } else {
      pad_runs_.push_back({t, 1});
    }
  }
  for (int64_t j = 0; j < source_size_; ++j) {
    if (preimages[j].empty()) continue;
    bool extends = !copy_runs_.empty() &&
                   copy_runs_.back().source + copy_runs_.back().length == j &&
                   copy_runs_.back().targets.size() == preimages[j].size();
    if (extends) {
      const CopyRun& run = copy_runs_.back();
      for (size_t k = 0; k < preimages[j].size(); ++k) {
        extends = extends && preimages[j][k] == run.targets[k] + run.length;
      }
    }
    if (extends) {
      ++copy_runs_.back().length;
    } else {
      copy_runs_.push_back({j, 1, preimages[j]});
    }
  }
}

bool HeadMapsExist(int64_t source_heads, int64_t source_kv_heads, int64_t target_heads,
                   int64_t target_kv_heads) {
  if (target_kv_heads < source_kv_heads || target_heads < source_heads) return false;
  if (target_heads % target_kv_heads != 0) return false;
  const int64_t source_group = source_heads / source_kv_heads;
  const int64_t target_group = target_heads / target_kv_heads;
  const int64_t fewest_copies =
      target_kv_heads / source_kv_heads;  // circular: every head has at least these
  return fewest_copies * target_group >= source_group;
}

namespace {

// The legal (heads, kv heads) closest to what was asked for, as text.
std::string NearestHeads(int64_t source_heads, int64_t source_kv_heads, int64_t heads,
                         int64_t kv_heads) {
  std::multimap<int64_t, std::pair<int64_t, int64_t>> by_distance;
  constexpr int64_t kAround = 256;
  const int64_t most = std::min(std::max(2 * heads, 2 * source_heads), heads + kAround);
  for (int64_t q = std::max(source_heads, heads - kAround); q <= most; ++q) {
    const int64_t most_kv = std::min(q, kv_heads + kAround);
    for (int64_t kv = std::max(source_kv_heads, kv_heads - kAround); kv <= most_kv; ++kv) {
      if (!HeadMapsExist(source_heads, source_kv_heads, q, kv)) continue;
      by_distance.emplace(std::abs(q - heads) + std::abs(kv - kv_heads), std::pair(q, kv));
    }
  }
  std::string text;
  int shown = 0;
  for (const auto& [unused, pair] : by_distance) {
    if (++shown > 3) break;
    text += (text.empty() ? "" : ", ") + std::to_string(pair.first) + " heads with " +
            std::to_string(pair.second) + " key-value heads";
  }
  return text;
}

}  // namespace

HeadMaps MakeHeadMaps(int64_t source_heads, int64_t source_kv_heads, int64_t target_heads,
                      int64_t target_kv_heads) {
  if (!HeadMapsExist(source_heads, source_kv_heads, target_heads, target_kv_heads)) {
    throw ImpossibleError(
        std::to_string(target_heads) + " heads with " + std::to_string(target_kv_heads) +
            " key-value heads cannot hold every one of the " + std::to_string(source_heads) +
            " query heads in the group of its key-value head",
        "",
        "nearest legal: " +
            NearestHeads(source_heads, source_kv_heads, target_heads, target_kv_heads));
  }
  const int64_t source_group = source_heads / source_kv_heads;
  const int64_t target_group = target_heads / target_kv_heads;
  std::vector<int64_t> query(target_heads), key_value(target_kv_heads);
  std::vector<int64_t> seen(source_kv_heads, 0);  // c(t): earlier target heads with the same source
  for (int64_t t = 0; t < target_kv_heads; ++t) {
    const int64_t source = t % source_kv_heads;
    key_value[t] = source;
    for (int64_t l = 0; l < target_group; ++l) {
      query[t * target_group + l] =
          source * source_group + (seen[source] * target_group + l) % source_group;
    }
    ++seen[source];
  }
  return {AxisMap(source_heads, std::move(query)), AxisMap(source_kv_heads, std::move(key_value))};
}

}  // namespace orchard::expand
