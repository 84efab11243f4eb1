// Which source unit each unit of a grown axis copies. All maps of a model are made here; tensors
// combine one per axis.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace orchard::expand {

// A target unit that copies nothing.
inline constexpr int64_t kPad = -1;

// Source units [source, source + length) and where their copies stand: copy k of source + l is
// targets[k] + l.
struct CopyRun {
  int64_t source = 0, length = 0;
  std::vector<int64_t> targets;
};

// Target units [target, target + length) that are padding.
struct PadRun {
  int64_t target = 0, length = 0;
};

class AxisMap {
 public:
  AxisMap() = default;
  // entries[t]: source unit of target unit t, in [0, source_size), or kPad.
  AxisMap(int64_t source_size, std::vector<int64_t> entries);

  static AxisMap Identity(int64_t size);
  // m(t) = t mod source: K whole copies and a part of one more. V_circ of the paper.
  static AxisMap Circular(int64_t source, int64_t target);
  // K whole copies, then padding. V_avg, V_zero and V_rand of the paper.
  static AxisMap Padded(int64_t source, int64_t target);
  // Identity, then padding, even where whole copies would fit: function-preserving zero padding.
  static AxisMap IdentityThenPad(int64_t source, int64_t target);
  // Identity, then units drawn uniformly: function-preserving initialisation of Net2Net and
  // bert2BERT.
  static AxisMap RandomCopies(int64_t source, int64_t target, uint64_t seed);
  // Every unit of `units` becomes `width` consecutive ones: head maps become maps of rows.
  static AxisMap Blocks(const AxisMap& units, int64_t width);
  // Parts one after the other, sources likewise: fused query-key-value, gate-up.
  static AxisMap Concatenate(const std::vector<AxisMap>& parts);

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t source_size() const { return source_size_; }
  int64_t operator[](int64_t target) const { return entries_[target]; }
  const std::vector<int64_t>& entries() const { return entries_; }

  int64_t pads() const { return pads_; }
  bool identity() const;
  // Copies of each source unit; the preimage sizes |C_j|.
  const std::vector<int64_t>& copies() const { return copies_; }
  // Every source unit has the same number of copies.
  bool uniform() const;
  bool covers_every_source() const;

  // The map as maximal runs, for loops over contiguous memory. Together they cover every target
  // unit once.
  const std::vector<CopyRun>& copy_runs() const { return copy_runs_; }
  const std::vector<PadRun>& pad_runs() const { return pad_runs_; }

 private:
  void FindRuns();
  int64_t source_size_ = 0, pads_ = 0;
  std::vector<int64_t> entries_, copies_;
  std::vector<CopyRun> copy_runs_;
  std::vector<PadRun> pad_runs_;
};

using AxisMapPtr = std::shared_ptr<const AxisMap>;

// Head maps of grouped-query attention, where query head j reads key-value head floor(j / group).
// Source: docs/methods/ lemon-expand.md, "Grouped-query attention".
struct HeadMaps {
  AxisMap query, key_value;
};

// Throws ImpossibleError when the target group is too small for every source query head to be hit,
// naming the nearest legal counts. Multi-head attention is the case heads == kv_heads.
HeadMaps MakeHeadMaps(int64_t source_heads, int64_t source_kv_heads, int64_t target_heads,
                      int64_t target_kv_heads);
bool HeadMapsExist(int64_t source_heads, int64_t source_kv_heads, int64_t target_heads,
                   int64_t target_kv_heads);

}  // namespace orchard::expand
