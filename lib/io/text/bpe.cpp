#include <algorithm>
#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/text/byte_alphabet.h"
#include "io/text/model.h"
#include "io/text/unicode.h"

namespace orchard::text {
namespace {

// Words that were seen before, and working memory. Bounded: when full it only answers.
struct BpeCache : ModelCache {
  static constexpr size_t kMaxWords = 1 << 16;
  static constexpr size_t kMaxWordBytes = 256;

  struct Symbol {
    int32_t id;
    int32_t previous, next;  // indices of neighbours, -1 at the ends
    bool gone;
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
    int32_t merged;
    // Heap order: the lowest rank first, then the leftmost place.
    bool operator<(const Candidate& o) const {
      return rank != o.rank ? rank > o.rank : position > o.position;
    }
  };

  struct Stored {
    uint32_t begin, count;
  };
  StringMap<Stored> words;
  std::vector<int32_t> pool;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

// (left, right) -> (rank, merged) in one flat table with linear probing.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t merged;
  };
  explicit MergeTable(size_t count) {
    size_t size = 16;
    while (size < count * 2) size *= 2;
    slots_.resize(size);
  }
  void Set(int32_t left, int32_t right, Merge merge) {
    slots_[Slot(Key(left, right))] = {Key(left, right), merge};
  }
  const Merge* Find(int32_t left, int32_t right) const {
    const Entry& entry = slots_[Slot(Key(left, right))];
    return entry.key == kEmpty ? nullptr : &entry.merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~0ull;
  struct Entry {
    uint64_t key = kEmpty;
    Merge merge{};
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t Slot(uint64_t key) const {
    size_t slot = ((key ^ key >> 29) * 0x9E3779B97F4A7C15ull >> 24) & (slots_.size() - 1);
    while (slots_[slot].key != kEmpty && slots_[slot].key != key) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }
  std::vector<Entry> slots_;
};

class Bpe : public Model {
 public:
  Bpe(const JsonField& field, const Vocabulary& vocabulary, bool byte_level);

  std::unique_ptr<ModelCache> NewCache() const override { return std::make_unique<BpeCache>(); }
  void Encode(std::string_view word, ModelCache* cache, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  void ReadMerges(const JsonField& list, const Vocabulary& vocabulary);
  void FillUnits(const Vocabulary& vocabulary);
  std::string Spell(std::string_view unit, bool first, bool last) const;
  void Split(std::string_view word, std::vector<BpeCache::Symbol>& symbols) const;
  bool FallBack(const std::string& spelled, std::vector<BpeCache::Symbol>& symbols) const;
  void Merge(BpeCache& cache) const;

  bool byte_level_, ignore_merges_, fuse_unknown_, byte_fallback_;
  std::string prefix_, suffix_;
  std::optional<int32_t> unknown_;
  MergeTable merges_;
  const StringMap<int32_t>&
      units_;  // the vocabulary: code points and, with ignore_merges, whole words
  std::array<int32_t, 256> byte_ids_;  // byte_level without prefix and suffix
  std::array<int32_t, 256> fallback_;  // <0x00> to <0xFF>, -1 when absent
};

size_t MergeCount(const JsonField& field) { return field.At("merges").ArraySize(); }

Bpe::Bpe(const JsonField& field, const Vocabulary& vocabulary, bool byte_level)
    : byte_level_(byte_level),
      ignore_merges_(field.Bool("ignore_merges", false)),
      fuse_unknown_(field.Bool("fuse_unk", false)),
      byte_fallback_(field.Bool("byte_fallback", false)),
      prefix_(field.String("continuing_subword_prefix", "")),
      suffix_(field.String("end_of_word_suffix", "")),
      merges_(MergeCount(field)),
      units_(vocabulary.ids()) {
  if (field.Has("dropout") && field.At("dropout").value() != 0.0) {
    throw ImpossibleError("BPE dropout makes encoding random and is not supported",
                          field.At("dropout").where(), "set it to null");
  }
  if (field.Has("unk_token")) {
    const std::string name = field.At("unk_token").String();
    unknown_ = vocabulary.Id(name);
    if (!unknown_) field.Fail("the unknown token \"" + name + "\" is not in the vocabulary");
  }
  ReadMerges(field.At("merges"), vocabulary);
  FillUnits(vocabulary);
}

void Bpe::ReadMerges(const JsonField& list, const Vocabulary& vocabulary) {
  for (size_t i = 0; i < list.ArraySize(); ++i) {
    const nlohmann::json& item = list.value()[i];
    std::string left, right;
    if (item.is_string()) {  // "left right", the older form
      const std::string& both = item.get_ref<const std::string&>();
      const size_t space = both.find(' ');
      if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos) {
        list.Item(i).Fail("a merge must be two tokens with one space between them");
      }
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      const JsonField pair = list.Item(i);
      if (pair.ArraySize() != 2) pair.Fail("a merge must be two tokens");
      left = pair.Item(0).String();
      right = pair.Item(1).String();
    }
    const auto a = vocabulary.Id(left), b = vocabulary.Id(right);
    const auto merged = right.size() < prefix_.size()
                            ? std::nullopt
                            : vocabulary.Id(left + right.substr(prefix_.size()));
    if (!a || !b || !merged)
      list.Item(i).Fail("a merge names a token that is not in the vocabulary");
    merges_.Set(*a, *b, {static_cast<uint32_t>(i), *merged});
  }
}

void Bpe::FillUnits(const Vocabulary& vocabulary) {
  constexpr auto kCodePoints = ByteCodePoints();
  for (int b = 0; b < 256; ++b) {
    std::string spelled;
    AppendUtf8(spelled, kCodePoints[b]);
    byte_ids_[b] = vocabulary.Id(spelled).value_or(-1);
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    fallback_[b] = vocabulary.Id(name).value_or(-1);
  }
}

std::string Bpe::Spell(std::string_view unit, bool first, bool last) const {
  std::string spelled = first ? "" : prefix_;
  if (byte_level_) {
    AppendUtf8(spelled, ByteCodePoints()[static_cast<unsigned char>(unit[0])]);
  } else {
    spelled += unit;
  }
  return last ? spelled + suffix_ : spelled;
}

bool Bpe::FallBack(const std::string& spelled, std::vector<BpeCache::Symbol>& symbols) const {
  if (!byte_fallback_) return false;
  for (const char c : spelled) {
    if (fallback_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (const char c : spelled) {
    symbols.push_back({fallback_[static_cast<unsigned char>(c)], 0, 0, false});
  }
  return true;
}

// The symbols that `word` starts as. What is neither in the vocabulary nor spelled in bytes becomes
// the unknown token, or nothing where there is none.
void Bpe::Split(std::string_view word, std::vector<BpeCache::Symbol>& symbols) const {
  const bool plain = byte_level_ && prefix_.empty() && suffix_.empty();
  bool pending = false;  // an unknown token that the next unit may be fused with
  const auto flush = [&] {
    if (pending) symbols.push_back({*unknown_, 0, 0, false});
    pending = false;
  };
  for (size_t i = 0; i < word.size();) {
    const size_t length = byte_level_ ? 1 : static_cast<size_t>(DecodeAt(word, i).length);
    int32_t id = -1;
    std::string spelled;
    if (plain) {
      id = byte_ids_[static_cast<unsigned char>(word[i])];
    } else {
      spelled = Spell(word.substr(i, length), i == 0, i + length == word.size());
      const auto found = units_.find(spelled);
      if (found != units_.end()) id = found->second;
    }
    if (id >= 0) {
      flush();
      symbols.push_back({id, 0, 0, false});
    } else if (!FallBack(plain ? Spell(word.substr(i, 1), true, true) : spelled, symbols) &&
               unknown_) {
      if (!fuse_unknown_) flush();
      pending = true;
    }
    i += length;
  }
  flush();
}

// Applies the merges in order of rank, leftmost first. A candidate is stale when the pair at its
// place no longer gives the same token.
void Bpe::Merge(BpeCache& cache) const {
  auto& symbols = cache.symbols;
  auto& heap = cache.heap;
  heap.clear();
  const int32_t count = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols[i].previous = i - 1;
    symbols[i].next = i + 1 < count ? i + 1 : -1;
    if (i + 1 == count) break;
    if (const auto* merge = merges_.Find(symbols[i].id, symbols[i + 1].id)) {
      heap.push_back({merge->rank, i, merge->merged});
    }
  }
  std::make_heap(heap.begin(), heap.end());
  const auto consider = [&](int32_t left) {
    const int32_t right = left < 0 ? -1 : symbols[left].next;
    if (right < 0) return;
    if (const auto* merge = merges_.Find(symbols[left].id, symbols[right].id)) {
      heap.push_back({merge->rank, left, merge->merged});
      std::push_heap(heap.begin(), heap.end());
    }
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const BpeCache::Candidate top = heap.back();
    heap.pop_back();
    BpeCache::Symbol& left = symbols[top.position];
    if (left.gone || left.next < 0) continue;
    BpeCache::Symbol& right = symbols[left.next];
    const auto* merge = merges_.Find(left.id, right.id);
    if (merge == nullptr || merge->merged != top.merged) continue;
    left.id = top.merged;
    right.gone = true;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = top.position;
    consider(left.previous);
    consider(top.position);
  }
}

void Bpe::Encode(std::string_view word, ModelCache* memory, std::vector<int32_t>& ids) const {
  auto& cache = static_cast<BpeCache&>(*memory);
  if (const auto known = cache.words.find(word); known != cache.words.end()) {
    const auto begin = cache.pool.begin() + known->second.begin;
    ids.insert(ids.end(), begin, begin + known->second.count);
    return;
  }
  const size_t before = ids.size();
  const auto whole = [&]() -> std::optional<int32_t> {
    if (!ignore_merges_) return std::nullopt;
    std::string spelled;
    if (byte_level_) {
      for (const char c : word) {
        AppendUtf8(spelled, ByteCodePoints()[static_cast<unsigned char>(c)]);
      }
    } else {
      spelled = word;
    }
    const auto found = units_.find(spelled);
    return found == units_.end() ? std::nullopt : std::optional(found->second);
  }();
  if (whole) {
    ids.push_back(*whole);
  } else {
    cache.symbols.clear();
    Split(word, cache.symbols);
    Merge(cache);
    for (const auto& symbol : cache.symbols) {
      if (!symbol.gone) ids.push_back(symbol.id);
    }
  }
  if (cache.words.size() < BpeCache::kMaxWords && word.size() <= BpeCache::kMaxWordBytes) {
    cache.words.emplace(word, BpeCache::Stored{static_cast<uint32_t>(cache.pool.size()),
                                               static_cast<uint32_t>(ids.size() - before)});
    cache.pool.insert(cache.pool.end(), ids.begin() + static_cast<std::ptrdiff_t>(before),
                      ids.end());
  }
}

}  // namespace

std::unique_ptr<Model> MakeBpe(const JsonField& field, const Vocabulary& vocabulary,
                               bool byte_level) {
  return std::make_unique<Bpe>(field, vocabulary, byte_level);
}

}  // namespace orchard::text
