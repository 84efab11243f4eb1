#include "nn/dropout.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/simd.h"
#include "nn/dropout_element.h"

namespace orchard::nn {
namespace {

constexpr int64_t kBlocks = 64;  // Philox blocks drawn at once: 256 elements

// The draws of blocks [first, first + kBlocks), word by word so that the blocks are the vector
// lanes.
ORCHARD_SIMD void Draw(Philox2 key, uint64_t first, uint64_t stream,
                       uint32_t (&words)[4 * kBlocks]) {
  uint32_t w0[kBlocks], w1[kBlocks], w2[kBlocks], w3[kBlocks];
#pragma omp simd
  for (int64_t b = 0; b < kBlocks; ++b) {
    const Philox4 block = PhiloxAt(key, first + static_cast<uint64_t>(b), stream);
    w0[b] = block.word[0];
    w1[b] = block.word[1];
    w2[b] = block.word[2];
    w3[b] = block.word[3];
  }
  for (int64_t b = 0; b < kBlocks; ++b) {
    words[4 * b] = w0[b];
    words[4 * b + 1] = w1[b];
    words[4 * b + 2] = w2[b];
    words[4 * b + 3] = w3[b];
  }
}

template <class T, class C>
ORCHARD_SIMD void Apply(const uint32_t* words, const T* x, const T* residual, T* y, int64_t n,
                        uint32_t threshold, C scale) {
  if (residual == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      y[i] = Narrow<T>(Kept(words[i], threshold) ? Widen(x[i]) * scale : C(0));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      y[i] =
          Narrow<T>(Widen(residual[i]) + (Kept(words[i], threshold) ? Widen(x[i]) * scale : C(0)));
    }
  }
}

// A run of one sample: all of it kept, or none.
template <class T, class C>
ORCHARD_SIMD void ApplyToAll(bool kept, const T* x, const T* residual, T* y, int64_t n, C scale) {
  if (residual == nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = Narrow<T>(kept ? Widen(x[i]) * scale : C(0));
  } else {
    for (int64_t i = 0; i < n; ++i) {
      y[i] = Narrow<T>(Widen(residual[i]) + (kept ? Widen(x[i]) * scale : C(0)));
    }
  }
}

template <class T>
void Elements(const DropoutArgs& a) {
  using C = ComputeOf<T>;
  constexpr int64_t kStep = 4 * kBlocks;
  const uint32_t threshold = DropThreshold(a.probability);
  const C scale = static_cast<C>(1 / (1 - a.probability));
  at::parallel_for(0, (a.count + kStep - 1) / kStep, 64, [&](int64_t begin, int64_t end) {
    uint32_t words[kStep];
    for (int64_t step = begin; step < end; ++step) {
      const int64_t i = step * kStep;
      Draw(a.key, static_cast<uint64_t>(step * kBlocks), a.stream, words);
      Apply<T, C>(words, static_cast<const T*>(a.x) + i,
                  a.residual == nullptr ? nullptr : static_cast<const T*>(a.residual) + i,
                  static_cast<T*>(a.y) + i, std::min(kStep, a.count - i), threshold, scale);
    }
  });
}

template <class T>
void Groups(const DropoutArgs& a) {
  using C = ComputeOf<T>;
  const uint32_t threshold = DropThreshold(a.probability);
  const C scale = static_cast<C>(1 / (1 - a.probability));
  at::parallel_for(0, a.count, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      const int64_t group = i / a.group, stop = std::min(end, (group + 1) * a.group);
      const Philox4 block = PhiloxAt(a.key, static_cast<uint64_t>(group) / 4, a.stream);
      ApplyToAll<T, C>(Kept(block.word[group % 4], threshold), static_cast<const T*>(a.x) + i,
                       a.residual == nullptr ? nullptr : static_cast<const T*>(a.residual) + i,
                       static_cast<T*>(a.y) + i, stop - i, scale);
      i = stop;
    }
  });
}

}  // namespace

void Dropout(const DropoutArgs& args) {
  DispatchFloat(args.type, [&](auto t) {
    using T = decltype(t);
    args.group == 1 ? Elements<T>(args) : Groups<T>(args);
  });
}

}  // namespace orchard::nn
