#include "nn/parameter_update.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "base/simd.h"

namespace orchard::nn {
namespace {

// Elements that a thread takes at once. Part of the result of SumOfSquares, so it is fixed.
constexpr int64_t kChunk = 16384;

struct Chunk {
  const TensorUpdate* tensor;
  int64_t begin, end;
};

std::vector<Chunk> Chunks(const TensorUpdate* tensors, int64_t tensor_count) {
  std::vector<Chunk> chunks;
  for (const TensorUpdate* t = tensors; t != tensors + tensor_count; ++t) {
    for (int64_t begin = 0; begin < t->count; begin += kChunk) {
      chunks.push_back({t, begin, std::min(t->count, begin + kChunk)});
    }
  }
  return chunks;
}

// The buffers of a chunk. For 16-bit types `weight` is the master, else the value itself.
template <class T>
struct Slice {
  using C = ComputeOf<T>;
  static constexpr bool kHasMaster = sizeof(T) == 2;

  explicit Slice(const Chunk& c) : count(c.end - c.begin) {
    value = static_cast<T*>(c.tensor->value) + c.begin;
    gradient = static_cast<const T*>(c.tensor->gradient) + c.begin;
    if constexpr (kHasMaster) {
      weight = static_cast<C*>(c.tensor->master) + c.begin;
    } else {
      weight = value;
    }
    first = static_cast<C*>(c.tensor->first) + c.begin;
    second = c.tensor->second == nullptr ? nullptr : static_cast<C*>(c.tensor->second) + c.begin;
    average = c.tensor->average == nullptr ? nullptr : static_cast<C*>(c.tensor->average) + c.begin;
  }

  int64_t count;
  T* value;
  const T* gradient;
  C *weight, *first, *second, *average;
};

template <class T, class C>
ORCHARD_SIMD void AdamWLoop(AdamWScalars<C> s, int64_t count, const T* gradient, C* weight,
                            C* first, C* second) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    C w = weight[i], m = first[i], v = second[i];
    AdamWElement<C>(s, Widen(gradient[i]), w, m, v);
    weight[i] = w;
    first[i] = m;
    second[i] = v;
  }
}

template <class T, class C>
ORCHARD_SIMD void SgdLoop(SgdScalars<C> s, int64_t count, const T* gradient, C* weight, C* buffer) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    C w = weight[i], b = buffer[i];
    SgdElement<C>(s, Widen(gradient[i]), w, b);
    weight[i] = w;
    buffer[i] = b;
  }
}

template <class C>
ORCHARD_SIMD void AverageLoop(C decay, C rest, int64_t count, const C* weight, C* average) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    average[i] = AverageElement(decay, rest, average[i], weight[i]);
  }
}

template <class T, class C>
ORCHARD_SIMD void RoundLoop(int64_t count, const C* weight, T* value) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) value[i] = Narrow<T>(weight[i]);
}

// Blocks small enough that the second and third loop over them find the weights in the cache.
constexpr int64_t kBlock = 1024;

template <class Args, class Loop>
void Update(const Args& args, Loop loop) {
  const std::vector<Chunk> chunks = Chunks(args.tensors, args.tensor_count);
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      DispatchFloat(chunks[c].tensor->type, [&](auto tag) {
        using T = decltype(tag);
        using C = ComputeOf<T>;
        const auto scalars = MakeScalars<C>(args, *chunks[c].tensor, *args.gradient_scale);
        const C decay = static_cast<C>(args.average_decay);
        const C rest = static_cast<C>(1 - args.average_decay);
        const Slice<T> s(chunks[c]);
        for (int64_t i = 0; i < s.count; i += kBlock) {
          const int64_t n = std::min(kBlock, s.count - i);
          loop(scalars, s, i, n);
          if (s.average != nullptr) AverageLoop<C>(decay, rest, n, s.weight + i, s.average + i);
          if constexpr (Slice<T>::kHasMaster) RoundLoop<T, C>(n, s.weight + i, s.value + i);
        }
      });
    }
  });
}

// Eight sums side by side, so that the vectoriser need not reorder anything.
template <class T>
ORCHARD_SIMD double Squares(const T* x, int64_t count) {
  constexpr int kLanes = 8;
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) {
      const double value = Widen(x[i + k]);
      sums[k] += value * value;
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(Widen(x[i])) * Widen(x[i]);
  double sum = 0;
  for (double s : sums) sum += s;
  return sum;
}

}  // namespace

void AdamW(const AdamWArgs& args) {
  Update(args, [](const auto& scalars, const auto& s, int64_t i, int64_t n) {
    AdamWLoop(scalars, n, s.gradient + i, s.weight + i, s.first + i, s.second + i);
  });
}

void Sgd(const SgdArgs& args) {
  Update(args, [](const auto& scalars, const auto& s, int64_t i, int64_t n) {
    SgdLoop(scalars, n, s.gradient + i, s.weight + i, s.first + i);
  });
}

double SumOfSquares(const TensorUpdate* tensors, int64_t tensor_count) {
  const std::vector<Chunk> chunks = Chunks(tensors, tensor_count);
  std::vector<double> sums(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      DispatchFloat(chunks[c].tensor->type, [&](auto tag) {
        using T = decltype(tag);
        sums[c] = Squares(static_cast<const T*>(chunks[c].tensor->gradient) + chunks[c].begin,
                          chunks[c].end - chunks[c].begin);
      });
    }
  });
  double sum = 0;
  for (double s : sums) sum += s;
  return sum;
}

}  // namespace orchard::nn
