// The source tensors of an op: found, checked, and read as whatever type the arithmetic wants.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expand/tensor_op.h"
#include "io/safetensors.h"

namespace orchard::expand {

class OpSources {
 public:
  // Throws DataError naming the tensor that is missing.
  OpSources(const io::Checkpoint& checkpoint, const TensorOp& op, bool allow_nonfinite);

  // Number of source tensors, and how many a row map is divided over: at least one.
  int64_t count() const { return static_cast<int64_t>(infos_.size()); }
  int64_t divisor() const { return infos_.empty() ? 1 : count(); }
  const io::TensorInfo& operator[](int64_t s) const { return *infos_[s]; }

  // Throws DataError unless every source has this many elements.
  void CheckElements(int64_t expected) const;

  // `count` elements of source s from `first` on, as stored. Where the file aligns them they are
  // not copied, else they are put into `room`, which grows. Throws DataError (tensor, elements) on
  // NaN or infinity unless they are allowed.
  std::span<const std::byte> Stored(int64_t s, int64_t first, int64_t count,
                                    std::vector<std::byte>& room) const;

  // The same as Real: float or double.
  template <class Real>
  void Load(int64_t s, int64_t first, int64_t count, Real* values) const;

  // The weights of the `n` rows in their mean: `op.mean_weights`, or ones.
  std::vector<double> MeanWeights(int64_t n) const;

 private:
  std::span<const std::byte> StoredOf(const io::TensorInfo& info, int64_t first, int64_t count,
                                      std::vector<std::byte>& room) const;
  void CheckFinite(bool finite, const io::TensorInfo& info, int64_t first, int64_t count) const;
  template <class Real>
  void LoadOf(const io::TensorInfo& info, int64_t first, int64_t count, Real* values) const;

  const io::Checkpoint& checkpoint_;
  bool allow_nonfinite_;
  std::vector<const io::TensorInfo*> infos_;
  const io::TensorInfo* mean_weights_ = nullptr;
};

}  // namespace orchard::expand
