// PowerSGD with warm start: the gradient of every matrix, plus what earlier messages left out, is
// approximated by a product of rank r, found by one power iteration per step that all ranks share:
//
//   M_i = g_i + e_i;  P = mean M_i Q, orthonormalised;  Q = mean M_i' P;  M^ = P Q';  e_i = M_i -
//   M^
//
// Momentum follows aggregation: m = beta m + D, x -= lr (D + m) with D = M^ + lambda x. Tensors of
// one axis, and those that a product would not shorten, are averaged as they are. Two all-reduces
// per step, one after the other.
//
// Source: Vogels et al., PowerSGD, 2019, Algorithms 1 and 2.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/hash.h"
#include "base/philox.h"
#include "base/simd.h"
#include "sync/make_algorithm.h"

namespace orchard::sync {
namespace {

// Eight sums side by side, so that the vectoriser need not reorder anything.
template <class T>
ORCHARD_SIMD T Dot(const T* a, const T* b, int64_t count) {
  constexpr int kLanes = 8;
  T sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  T sum = 0;
  for (const T s : sums) sum += s;
  return sum;
}

template <class T>
ORCHARD_SIMD void AddScaled(T scale, const T* in, T* out, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] += scale * in[i];
}

// A tensor [rows, columns] and its factors P [rank, rows], Q [rank, columns].
struct Matrix {
  int64_t offset, rows, columns, rank;
  int64_t p, q;  // places of the factors in the messages
};

// Modified Gram-Schmidt over `rank` vectors of `size`. A vector that the others span becomes zero.
template <class T>
void Orthonormalise(T* vectors, int64_t rank, int64_t size) {
  for (int64_t k = 0; k < rank; ++k) {
    T* v = vectors + k * size;
    const T before = std::sqrt(Dot(v, v, size));
    for (int64_t j = 0; j < k; ++j) {
      const T* u = vectors + j * size;
      AddScaled(-Dot(u, v, size), u, v, size);
    }
    const T norm = std::sqrt(Dot(v, v, size));
    // What is left of a dependent vector is rounding, not a direction.
    const bool independent = norm > before * T{1e-6};
    const T scale = independent ? 1 / norm : T{0};
    for (int64_t i = 0; i < size; ++i) v[i] *= scale;
  }
}

template <class T>
class PowerSgd : public Algorithm<T> {
 public:
  explicit PowerSgd(const AlgorithmSetting& s)
      : options_(s.algorithm),
        dense_steps_(s.compress.dense_steps),
        seed_(s.seed),
        momentum_(s.layout.size()),
        error_(s.layout.size()) {
    for (const Slot& slot : s.layout.slots()) Plan(slot, s.compress.rank);
    first_ = FlatBuffer<T>(p_size_ + dense_size_);
    second_ = FlatBuffer<T>(q_size_);
    for (const Matrix& m : matrices_) {
      for (int64_t k = 0; k < m.rank; ++k) Restart(m, k);
    }
  }

  void Step(const StepInput<T>& in) override {
    const auto scale = static_cast<T>(in.gradient_scale);
    const T mean = T{1} / static_cast<T>(in.ranks.size());
    if (in.step <= dense_steps_) {
      for (T& g : in.gradient) g *= scale;
      in.ranks.AllReduce(in.gradient);
      for (T& g : in.gradient) g *= mean;
    } else {
      // M in `error_`.
      for (int64_t i = 0; i < error_.size(); ++i) error_.data()[i] += in.gradient[i] * scale;
      Approximate(in.ranks, mean, in.gradient);
    }
    const auto beta = static_cast<T>(options_.momentum);
    const auto decay = static_cast<T>(options_.weight_decay);
    const auto rate = static_cast<T>(in.learning_rate);
    T *x = in.values.data(), *m = momentum_.data();
    for (int64_t i = 0; i < momentum_.size(); ++i) {
      const T d = in.gradient[i] + decay * x[i];
      m[i] = beta * m[i] + d;
      x[i] -= rate * (d + m[i]);
    }
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", momentum_.span()}, {"error", error_.span()}, {"q", second_.span()}};
  }
  Message MessageOf(int64_t step, int) const override {
    return {step <= dense_steps_ ? momentum_.size() : first_.size() + second_.size(), 0};
  }
  bool OneModel() const override { return true; }

 private:
  void Plan(const Slot& slot, int64_t rank) {
    if (slot.shape.size() >= 2) {
      const int64_t rows = slot.shape[0], columns = slot.count / rows;
      const int64_t r = std::min({rank, rows, columns});
      if (r * (rows + columns) < slot.count) {
        matrices_.push_back({slot.offset, rows, columns, r, p_size_, q_size_});
        p_size_ += r * rows;
        q_size_ += r * columns;
        return;
      }
    }
    dense_.push_back({slot.offset, slot.offset + slot.count});
    dense_size_ += slot.count;
  }

  T* P(const Matrix& m, int64_t k) { return first_.data() + m.p + k * m.rows; }
  T* Q(const Matrix& m, int64_t k) { return second_.data() + m.q + k * m.columns; }

  // Near-normal numbers, the same on all ranks.
  void Restart(const Matrix& m, int64_t k) {
    const Philox2 key = PhiloxKey(seed_, Hash64("powersgd.q"));
    for (int64_t i = 0; i < m.columns; ++i) {
      const auto place = static_cast<uint64_t>(m.q + k * m.columns + i);
      Q(m, k)[i] = static_cast<T>(NoiseInteger(PhiloxAt(key, place)) * kNoiseUnit);
    }
  }

  // `out` becomes the mean over ranks of the approximation of M; `error_` what M has besides.
  void Approximate(comm::Communicator& ranks, T mean, std::span<T> out) {
    for (const Matrix& m : matrices_) {
      for (int64_t i = 0; i < m.rows; ++i) {
        const T* row = error_.data() + m.offset + i * m.columns;
        for (int64_t k = 0; k < m.rank; ++k) P(m, k)[i] = Dot(row, Q(m, k), m.columns);
      }
    }
    T* dense = first_.data() + p_size_;
    for (const Range& r : dense_) {
      dense = std::copy_n(error_.data() + r.begin, r.size(), dense);
    }
    ranks.AllReduce(first_.span());
    for (T& value : first_.span()) value *= mean;
    for (const Matrix& m : matrices_) {
      Orthonormalise(P(m, 0), m.rank, m.rows);
      std::fill_n(Q(m, 0), m.rank * m.columns, T{});
      for (int64_t i = 0; i < m.rows; ++i) {
        const T* row = error_.data() + m.offset + i * m.columns;
        for (int64_t k = 0; k < m.rank; ++k) AddScaled(P(m, k)[i], row, Q(m, k), m.columns);
      }
    }
    if (q_size_ > 0) ranks.AllReduce(second_.span());
    for (T& value : second_.span()) value *= mean;
    Expand(out);
  }

  void Expand(std::span<T> out) {
    for (const Matrix& m : matrices_) {
      for (int64_t i = 0; i < m.rows; ++i) {
        T* row = out.data() + m.offset + i * m.columns;
        std::fill_n(row, m.columns, T{});
        for (int64_t k = 0; k < m.rank; ++k) AddScaled(P(m, k)[i], Q(m, k), row, m.columns);
        AddScaled(T{-1}, row, error_.data() + m.offset + i * m.columns, m.columns);
      }
      // A direction that vanished would stay away for ever.
      for (int64_t k = 0; k < m.rank; ++k) {
        if (Dot(Q(m, k), Q(m, k), m.columns) == 0) Restart(m, k);
      }
    }
    const T* dense = first_.data() + p_size_;
    for (const Range& r : dense_) {
      std::copy_n(dense, r.size(), out.data() + r.begin);
      std::fill_n(error_.data() + r.begin, r.size(), T{});
      dense += r.size();
    }
  }

  AlgorithmOptions options_;
  int64_t dense_steps_;
  uint64_t seed_;
  std::vector<Matrix> matrices_;
  std::vector<Range> dense_;
  int64_t p_size_ = 0, q_size_ = 0, dense_size_ = 0;
  FlatBuffer<T> momentum_, error_;
  FlatBuffer<T> first_, second_;  // P of all matrices and the dense tensors; Q of all matrices
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakePowerSgd(const AlgorithmSetting& setting) {
  return std::make_unique<PowerSgd<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakePowerSgd(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakePowerSgd(const AlgorithmSetting&);

}  // namespace orchard::sync
