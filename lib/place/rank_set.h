// A set of small integers that gives out its smallest: one bit each, and a bit for every word that
// holds any, level on level. Insertion and removal touch one word of each level (three up to
// 262,144 members).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace orchard::place {

class RankSet {
 public:
  // Members will be in [0, size).
  explicit RankSet(int32_t size) {
    do {
      begin_.push_back(static_cast<int32_t>(words_.size()));
      size = (size + 63) / 64;
      words_.resize(words_.size() + size);
    } while (size > 1);
  }

  bool empty() const { return words_.back() == 0; }

  void Insert(int32_t member) {
    for (int32_t begin : begin_) {
      uint64_t& word = words_[begin + member / 64];
      const bool known = word != 0;
      word |= uint64_t{1} << member % 64;
      if (known) return;
      member /= 64;
    }
  }

  // The smallest member, taken out. The set must not be empty.
  int32_t Take() {
    int32_t member = 0;
    for (auto begin = begin_.rbegin(); begin != begin_.rend(); ++begin)
      member = member * 64 + std::countr_zero(words_[*begin + member]);
    int32_t at = member;
    for (int32_t begin : begin_) {
      uint64_t& word = words_[begin + at / 64];
      word &= word - 1;
      if (word != 0) break;
      at /= 64;
    }
    return member;
  }

  void Clear() { std::fill(words_.begin(), words_.end(), 0); }

 private:
  std::vector<uint64_t> words_;
  std::vector<int32_t> begin_;  // of each level in `words_`, lowest first
};

}  // namespace orchard::place
