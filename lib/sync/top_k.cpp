#include "sync/top_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace orchard::sync {

TopK::TopK(const ArenaLayout& layout, double ratio, const Device& device) : device_(&device) {
  if (layout.size() > std::numeric_limits<int32_t>::max()) {
    throw ImpossibleError("places of more than 2^31 elements do not fit the message", "top-k");
  }
  for (const Slot& slot : layout.slots()) {
    const int64_t wanted = std::llround(static_cast<double>(slot.count) / ratio);
    const int64_t kept = std::clamp<int64_t>(wanted, 1, slot.count);
    segments_.push_back({slot.offset, slot.count, kept, count_});
    count_ += kept;
  }
}

template <class T>
void TopK::Select(std::span<const T> values, std::vector<int32_t>& places) const {
  places.resize(static_cast<size_t>(count_));
  SelectTopK<T>(*device_, {values.data(), segments_.data(), std::ssize(segments_), places.data()},
                std::ssize(values), count_);
}

template <class T>
void SparseMean<T>::Add(std::span<const int32_t> places, std::span<const T> values, T scale,
                        std::span<T> target, comm::Communicator& ranks) {
  const int64_t count = std::ssize(places), bytes = MessageBytes(count);
  const int64_t values_at = count * static_cast<int64_t>(sizeof(int32_t));
  own_.resize(static_cast<size_t>(bytes));
  all_.resize(static_cast<size_t>(bytes) * static_cast<size_t>(ranks.size()));
  std::memcpy(own_.data(), places.data(), places.size_bytes());
  std::memcpy(own_.data() + values_at, values.data(), values.size_bytes());
  const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), bytes);
  ranks.AllGather(std::span<const std::byte>(own_), std::span<std::byte>(all_), counts);
  const T* sum = sum_.data();
  for (const bool apply : {false, true}) {
    const T factor = T{1} / static_cast<T>(ranks.size());
    for (int r = 0; r < ranks.size(); ++r) {
      const std::byte* message = all_.data() + r * bytes;
      for (int64_t i = 0; i < count; ++i) {
        int32_t place;
        T value;
        std::memcpy(&place, message + i * sizeof place, sizeof place);
        std::memcpy(&value, message + values_at + i * sizeof value, sizeof value);
        if (!apply) {
          sum_.data()[place] += value;
        } else if (sum[place] != 0) {
          target[place] += scale * (sum[place] * factor);
          sum_.data()[place] = 0;
        }
      }
    }
  }
}

template void TopK::Select(std::span<const float>, std::vector<int32_t>&) const;
template void TopK::Select(std::span<const double>, std::vector<int32_t>&) const;
template class SparseMean<float>;
template class SparseMean<double>;

}  // namespace orchard::sync
