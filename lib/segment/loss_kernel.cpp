#include "segment/loss_kernel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/simd.h"
#include "segment/loss_element.h"

namespace orchard::segment {
namespace {

constexpr int64_t kBlock = 4096;  // voxels with sums of their own
constexpr int64_t kTile = 256;    // voxels whose logits are in the cache together

// Copies logits of `count` voxels to p [classes, kTile] and turns them into probabilities;
// `log_sum` gets the logarithms of the sums of exponentials.
template <class T>
ORCHARD_SIMD void Softmax(const T* logits, int64_t classes, int64_t class_stride,
                          int64_t voxel_stride, int64_t count, T* p, T* log_sum) {
  T most[kTile], sum[kTile];
  for (int64_t c = 0; c < classes; ++c) {
    const T* const from = logits + c * class_stride;
    T* const to = p + c * kTile;
    for (int64_t n = 0; n < count; ++n) to[n] = from[n * voxel_stride];
    if (c == 0) {
      std::copy_n(to, count, most);
    } else {
#pragma omp simd
      for (int64_t n = 0; n < count; ++n) most[n] = to[n] > most[n] ? to[n] : most[n];
    }
  }
  std::fill_n(sum, count, T(0));
  for (int64_t c = 0; c < classes; ++c) {
    T* const to = p + c * kTile;
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) {
      to[n] = Exp(to[n] - most[n]);
      sum[n] += to[n];
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    T* const to = p + c * kTile;
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) to[n] /= sum[n];
  }
  for (int64_t n = 0; n < count; ++n) log_sum[n] = most[n] + std::log(sum[n]);
}

// The sums of one block: intersection, probability and area of each class, then ce and count.
template <class T>
void SumBlock(const LossArgs<T>& a, const T* logits, const uint8_t* labels, int64_t count,
              std::vector<T>& p, double* sums) {
  T log_sum[kTile];
  std::vector<T> part(static_cast<size_t>(2 * a.classes), T(0));
  T ce = 0;
  int64_t counted = 0;
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t n = std::min(kTile, count - first);
    const T* const at = logits + first * a.voxel_stride;
    Softmax<T>(at, a.classes, a.class_stride, a.voxel_stride, n, p.data(), log_sum);
    for (int64_t i = 0; i < n; ++i) {
      const uint8_t label = labels[first + i];
      if (label == kIgnoredLabel) continue;
      if (label >= a.classes) {
        throw DataError("label " + std::to_string(label) + " is none of " +
                        std::to_string(a.classes) + " classes");
      }
      ++counted;
      ce += log_sum[i] - at[label * a.class_stride + i * a.voxel_stride];
      part[label] += p[static_cast<size_t>(label * kTile + i)];
      sums[2 * a.classes + label] += 1;
      for (int64_t c = 0; c < a.classes; ++c)
        part[static_cast<size_t>(a.classes + c)] += p[static_cast<size_t>(c * kTile + i)];
    }
  }
  for (int64_t c = 0; c < 2 * a.classes; ++c)
    sums[c] = static_cast<double>(part[static_cast<size_t>(c)]);
  sums[3 * a.classes] = static_cast<double>(ce);
  sums[3 * a.classes + 1] = static_cast<double>(counted);
}

template <class T>
ORCHARD_SIMD void GradientTile(int64_t classes, int64_t count, const T* p, const uint8_t* labels,
                               T ce_scale, const T* inside, const T* outside, T* g) {
  T mean[kTile];
  std::fill_n(mean, count, T(0));
  for (int64_t c = 0; c < classes; ++c) {
    const T in = inside[c], out = outside[c];
    const T* const pc = p + c * kTile;
    T* const gc = g + c * kTile;
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) {
      gc[n] = labels[n] == c ? in : out;
      mean[n] += gc[n] * pc[n];
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    const T* const pc = p + c * kTile;
    T* const gc = g + c * kTile;
#pragma omp simd
    for (int64_t n = 0; n < count; ++n) {
      const T hit = labels[n] == c ? T(1) : T(0);
      const T d = pc[n] * (gc[n] - mean[n]) + ce_scale * (pc[n] - hit);
      gc[n] = labels[n] == kIgnoredLabel ? T(0) : d;
    }
  }
}

}  // namespace

template <class T>
LossSums SumLoss(const LossArgs<T>& a) {
  const int64_t blocks = (a.voxels + kBlock - 1) / kBlock, width = 3 * a.classes + 2;
  std::vector<double> sums(static_cast<size_t>(a.batch * blocks * width), 0);
  at::parallel_for(0, a.batch * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> p(static_cast<size_t>(a.classes * kTile));
    for (int64_t n = begin; n < end; ++n) {
      const int64_t image = n / blocks, from = n % blocks * kBlock;
      SumBlock(a, a.logits + image * a.image_stride + from * a.voxel_stride,
               a.labels + image * a.voxels + from, std::min(kBlock, a.voxels - from), p,
               sums.data() + n * width);
    }
  });
  LossSums total;
  total.intersection.assign(static_cast<size_t>(a.batch * a.classes), 0);
  total.probability = total.area = total.intersection;
  total.ce.assign(static_cast<size_t>(a.batch), 0);
  total.counted.assign(static_cast<size_t>(a.batch), 0);
  for (int64_t n = 0; n < a.batch * blocks; ++n) {
    const double* const s = sums.data() + n * width;
    const auto image = static_cast<size_t>(n / blocks);
    for (int64_t c = 0; c < a.classes; ++c) {
      const size_t at = image * static_cast<size_t>(a.classes) + static_cast<size_t>(c);
      total.intersection[at] += s[c];
      total.probability[at] += s[a.classes + c];
      total.area[at] += s[2 * a.classes + c];
    }
    total.ce[image] += s[3 * a.classes];
    total.counted[image] += static_cast<int64_t>(s[3 * a.classes + 1]);
  }
  return total;
}

template <class T>
void LossGradient(const LossArgs<T>& a, double ce_scale, const std::vector<double>& inside,
                  const std::vector<double>& outside, T* gradient) {
  const int64_t tiles = (a.voxels + kTile - 1) / kTile;
  at::parallel_for(0, a.batch * tiles, 16, [&](int64_t begin, int64_t end) {
    std::vector<T> p(static_cast<size_t>(a.classes * kTile)), g(p.size());
    std::vector<T> in(static_cast<size_t>(a.classes)), out(in.size());
    T log_sum[kTile];
    for (int64_t n = begin; n < end; ++n) {
      const int64_t image = n / tiles, from = n % tiles * kTile;
      const int64_t count = std::min(kTile, a.voxels - from);
      const int64_t at = image * a.image_stride + from * a.voxel_stride;
      for (int64_t c = 0; c < a.classes; ++c) {
        in[static_cast<size_t>(c)] =
            static_cast<T>(inside[static_cast<size_t>(image * a.classes + c)]);
        out[static_cast<size_t>(c)] =
            static_cast<T>(outside[static_cast<size_t>(image * a.classes + c)]);
      }
      Softmax<T>(a.logits + at, a.classes, a.class_stride, a.voxel_stride, count, p.data(),
                 log_sum);
      GradientTile<T>(a.classes, count, p.data(), a.labels + image * a.voxels + from,
                      static_cast<T>(ce_scale), in.data(), out.data(), g.data());
      for (int64_t c = 0; c < a.classes; ++c)
        for (int64_t i = 0; i < count; ++i)
          gradient[at + c * a.class_stride + i * a.voxel_stride] =
              g[static_cast<size_t>(c * kTile + i)];
    }
  });
}

template LossSums SumLoss(const LossArgs<float>&);
template LossSums SumLoss(const LossArgs<double>&);
template void LossGradient(const LossArgs<float>&, double, const std::vector<double>&,
                           const std::vector<double>&, float*);
template void LossGradient(const LossArgs<double>&, double, const std::vector<double>&,
                           const std::vector<double>&, double*);

}  // namespace orchard::segment
