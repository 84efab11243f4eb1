#include "io/text/length.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/text/model.h"

namespace orchard::text {
namespace {

// Longer sequences than any model takes; bounds the memory that a damaged file can ask for.
constexpr int64_t kMaxLength = 1 << 24;

bool IsLeft(const JsonField& field) {
  const std::string direction = field.String("direction", "Right");
  if (direction != "Left" && direction != "Right") field.Fail("direction must be Left or Right");
  return direction == "Left";
}

}  // namespace

Truncation::Truncation(const JsonField& field)
    : max_length_(static_cast<size_t>(field.At("max_length").Integer(0, INT64_MAX))),
      left_(IsLeft(field)) {
  const std::string strategy = field.String("strategy", "LongestFirst");
  if (strategy == "LongestFirst") {
    strategy_ = Strategy::kLongestFirst;
  } else if (strategy == "OnlyFirst") {
    strategy_ = Strategy::kOnlyFirst;
  } else if (strategy == "OnlySecond") {
    strategy_ = Strategy::kOnlySecond;
  } else {
    field.Fail("unknown truncation strategy \"" + strategy + "\"");
  }
}

void Truncation::Shorten(std::vector<int32_t>& ids, size_t length) const {
  if (ids.size() <= length) return;
  if (left_) {
    ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(length));
  } else {
    ids.resize(length);
  }
}

void Truncation::Apply(std::vector<int32_t>& first, std::vector<int32_t>& second, bool pair,
                       size_t added) const {
  const size_t room = max_length_ - std::min(max_length_, added);
  const size_t total = first.size() + second.size();
  if (total <= room) return;
  if (room == 0) {
    first.clear();
    second.clear();
    return;
  }
  if (strategy_ == Strategy::kLongestFirst) {
    if (!pair) return Shorten(first, room);
    // The longer text gives way first; where both are longer than half, each gets half and the
    // longer one the odd token.
    const bool first_is_short = first.size() <= second.size();
    const size_t shorter = std::min(first.size(), second.size());
    size_t short_room = shorter;
    size_t long_room = shorter > room ? shorter : std::max(shorter, room - shorter);
    if (short_room + long_room > room) {
      short_room = room / 2;
      long_room = short_room + room % 2;
    }
    Shorten(first, first_is_short ? short_room : long_room);
    Shorten(second, first_is_short ? long_room : short_room);
    return;
  }
  if (strategy_ == Strategy::kOnlySecond && !pair) {
    throw ImpossibleError("truncation of the second text only, but there is one text");
  }
  std::vector<int32_t>& target = strategy_ == Strategy::kOnlyFirst ? first : second;
  const size_t excess = total - room;
  if (target.size() <= excess) {
    throw ImpossibleError("the text to truncate is too short to give room for the other one");
  }
  Shorten(target, target.size() - excess);
}

Padding::Padding(const JsonField& field)
    : multiple_(static_cast<size_t>(field.Integer("pad_to_multiple_of", 0, kMaxLength, 0))),
      left_(IsLeft(field)),
      id_(static_cast<int32_t>(field.Integer("pad_id", 0, kMaxTokenId, 0))),
      type_id_(static_cast<int32_t>(field.Integer("pad_type_id", 0, kMaxTokenId, 0))) {
  const JsonField strategy = field.At("strategy");
  if (strategy.value().is_object()) {
    fixed_ = static_cast<size_t>(strategy.At("Fixed").Integer(0, kMaxLength));
  } else if (strategy.String() != "BatchLongest") {
    strategy.Fail("unknown padding strategy");
  }
}

void Padding::Apply(Encoding& encoding, size_t longest) const {
  size_t length = fixed_ > 0 ? fixed_ : longest;
  if (multiple_ > 0) length = (length + multiple_ - 1) / multiple_ * multiple_;
  if (encoding.size() >= length) return;
  const size_t count = length - encoding.size();
  const auto pad = [&](auto& list, auto value) {
    list.insert(left_ ? list.begin() : list.end(), count, value);
  };
  pad(encoding.ids, id_);
  pad(encoding.type_ids, type_id_);
  pad(encoding.special, uint8_t{1});
  pad(encoding.attention_mask, uint8_t{0});
}

}  // namespace orchard::text
