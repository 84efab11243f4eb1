#include "sync/top_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/error.h"

namespace orchard::sync {

TopK::TopK(const ArenaLayout& layout, double ratio) : layout_(layout) {
  if (layout.size() > std::numeric_limits<int32_t>::max()) {
    throw ImpossibleError("places of more than 2^31 elements do not fit the message", "top-k");
  }
  for (const Slot& slot : layout.slots()) {
    const int64_t kept = std::llround(static_cast<double>(slot.count) / ratio);
    kept_.push_back(std::clamp<int64_t>(kept, 1, slot.count));
    count_ += kept_.back();
  }
}

template <class T>
void TopK::Select(std::span<const T> values, std::vector<int32_t>& places) const {
  places.clear();
  std::vector<T> magnitudes, order;
  for (size_t s = 0; s < kept_.size(); ++s) {
    const Slot& slot = layout_.slots()[s];
    magnitudes.resize(static_cast<size_t>(slot.count));
    for (int64_t i = 0; i < slot.count; ++i) {
      const T m = std::abs(values[slot.offset + i]);
      magnitudes[i] = m == m ? m : std::numeric_limits<T>::infinity();
    }
    order = magnitudes;
    const auto last = order.begin() + (kept_[s] - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    const T threshold = *last;
    int64_t ties = kept_[s];  // room for those that equal the threshold
    for (const T m : magnitudes) ties -= m > threshold ? 1 : 0;
    for (int64_t i = 0; i < slot.count; ++i) {
      if (magnitudes[i] > threshold || (magnitudes[i] == threshold && ties-- > 0)) {
        places.push_back(static_cast<int32_t>(slot.offset + i));
      }
    }
  }
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
