#include "expand/op_sources.h"

#include <cstring>

#include "base/error.h"
#include "expand/lanes.h"
#include "expand/stored_type.h"

namespace orchard::expand {
namespace {

template <class Stored, class Real>
void WidenRun(const Stored* stored, int64_t count, Real* values) {
  if constexpr (std::is_same_v<Stored, Real>) {
    memcpy(values, stored, static_cast<size_t>(count) * sizeof(Real));
  } else if constexpr (std::is_same_v<Real, float> && sizeof(Stored) == 2) {
    WidenLanes(stored, count, values);
  } else {
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<Real>(Widen(stored[i]));
  }
}

const io::TensorInfo* FindOrThrow(const io::Checkpoint& checkpoint, const std::string& name) {
  const io::TensorInfo* info = checkpoint.Find(name);
  if (!info) throw DataError("tensor is missing", "tensor " + name);
  return info;
}

}  // namespace

OpSources::OpSources(const io::Checkpoint& checkpoint, const TensorOp& op, bool allow_nonfinite)
    : checkpoint_(checkpoint), allow_nonfinite_(allow_nonfinite) {
  for (const std::string& name : op.sources) infos_.push_back(FindOrThrow(checkpoint, name));
  if (!op.mean_weights.empty()) mean_weights_ = FindOrThrow(checkpoint, op.mean_weights);
}

void OpSources::CheckElements(int64_t expected) const {
  for (const io::TensorInfo* info : infos_) {
    if (info->elements() != expected) {
      throw DataError("has " + std::to_string(info->elements()) +
                          " elements where the configuration gives " + std::to_string(expected),
                      checkpoint_.Where(*info));
    }
  }
}

void OpSources::CheckFinite(bool finite, const io::TensorInfo& info, int64_t first,
                            int64_t count) const {
  if (finite || allow_nonfinite_) return;
  throw DataError("NaN or infinity in elements " + std::to_string(first) + " to " +
                      std::to_string(first + count - 1),
                  checkpoint_.Where(info), "--allow-nonfinite lets it pass");
}

std::span<const std::byte> OpSources::StoredOf(const io::TensorInfo& info, int64_t first,
                                               int64_t count, std::vector<std::byte>& room) const {
  const int64_t width = io::ByteSize(info.dtype);
  // The file is mapped at a page: what its offset aligns is aligned in memory.
  std::span<const std::byte> bytes;
  if (info.begin % static_cast<uint64_t>(width) == 0) {
    bytes = checkpoint_.Bytes(info).subspan(first * width, count * width);
  } else {
    room.resize(count * width);
    checkpoint_.Copy(info, first * width, room);
    bytes = room;
  }
  if (io::IsFloat(info.dtype) && !allow_nonfinite_) {
    DispatchStored(info.dtype, info.name, [&](auto tag) {
      using T = decltype(tag);
      CheckFinite(AllFinite(reinterpret_cast<const T*>(bytes.data()), count), info, first, count);
    });
  }
  return bytes;
}

std::span<const std::byte> OpSources::Stored(int64_t s, int64_t first, int64_t count,
                                             std::vector<std::byte>& room) const {
  return StoredOf(*infos_[s], first, count, room);
}

template <class Real>
void OpSources::LoadOf(const io::TensorInfo& info, int64_t first, int64_t count,
                       Real* values) const {
  std::vector<std::byte> room;
  const std::byte* stored = StoredOf(info, first, count, room).data();
  DispatchStored(info.dtype, info.name, [&](auto tag) {
    WidenRun(reinterpret_cast<const decltype(tag)*>(stored), count, values);
  });
}

template <class Real>
void OpSources::Load(int64_t s, int64_t first, int64_t count, Real* values) const {
  LoadOf(*infos_[s], first, count, values);
}
template void OpSources::Load(int64_t, int64_t, int64_t, float*) const;
template void OpSources::Load(int64_t, int64_t, int64_t, double*) const;

std::vector<double> OpSources::MeanWeights(int64_t n) const {
  std::vector<double> weights(n, 1.0);
  if (mean_weights_) LoadOf(*mean_weights_, 0, n, weights.data());
  return weights;
}

}  // namespace orchard::expand
