#include "sync/top_k_select.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace orchard::sync {

template <class T>
void SelectTopK(const TopKArgs<T>& a) {
  std::vector<T> magnitudes, order;
  for (const TopKSegment* s = a.segments; s != a.segments + a.segment_count; ++s) {
    magnitudes.resize(static_cast<size_t>(s->count));
    for (int64_t i = 0; i < s->count; ++i) {
      const T m = std::abs(a.values[s->offset + i]);
      magnitudes[i] = m == m ? m : std::numeric_limits<T>::infinity();
    }
    order = magnitudes;
    const auto last = order.begin() + (s->kept - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    const T threshold = *last;
    int64_t ties = s->kept;  // room for those that equal the threshold
    for (const T m : magnitudes) ties -= m > threshold ? 1 : 0;
    int32_t* place = a.places + s->out;
    for (int64_t i = 0; i < s->count; ++i) {
      if (magnitudes[i] > threshold || (magnitudes[i] == threshold && ties-- > 0)) {
        *place++ = static_cast<int32_t>(s->offset + i);
      }
    }
  }
}

template void SelectTopK(const TopKArgs<float>&);
template void SelectTopK(const TopKArgs<double>&);

}  // namespace orchard::sync
