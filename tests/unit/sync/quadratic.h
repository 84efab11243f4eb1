// Ranks that minimise quadratics of their own: f_i(x) = 1/2 sum a (x - b_i)^2, with noise in the
// gradients where wanted. Everything a test needs to know about a run.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "base/philox.h"
#include "comm/simulated.h"
#include "sync/algorithm.h"

namespace orchard::sync {

// Tensors of all kinds: matrices, a vector, one that is no multiple of the padding.
inline ArenaLayout SmallLayout() {
  return ArenaLayout({{"one", {16, 8, 3}}, {"two", {40}}, {"three", {24, 32}}, {"four", {7, 5}}});
}

inline double Number(uint64_t stream, int64_t index) {
  const Philox4 random = PhiloxAt(PhiloxKey(5, 0), static_cast<uint64_t>(index), stream);
  return 2 * UniformDouble(random.word[0], random.word[1]) - 1;
}

struct Quadratic {
  AlgorithmOptions algorithm;
  CompressOptions compress;
  int ranks = 4;
  int64_t steps = 50;
  double learning_rate = 0.05;
  double spread = 1;  // how far the minima of the ranks are apart
  double noise = 0;   // of every gradient
};

template <class T>
struct Outcome {
  std::vector<std::vector<T>> values, errors;  // per rank, after the last step; errors may be empty
  std::vector<double> sent;                    // bytes, per rank
  double planned = 0;                          // bytes, by the formulas
  // Per step: the mean model before and after, and the mean step of momentum over the ranks' local
  // gradients.
  std::vector<std::vector<double>> mean_values, mean_steps;
};

// a and b of element i.
inline double Curvature(int64_t i) { return 1.25 + 0.75 * Number(1, i); }
inline double Minimum(int64_t i, int rank, double spread) {
  return Number(2, i) + spread * Number(10 + static_cast<uint64_t>(rank), i);
}

template <class T>
Outcome<T> Minimise(const ArenaLayout& layout, const Quadratic& problem) {
  const int64_t size = layout.size();
  std::vector<bool> real(size);
  for (const Slot& slot : layout.slots()) {
    std::fill_n(real.begin() + slot.offset, slot.count, true);
  }
  Outcome<T> out;
  out.values.resize(problem.ranks);
  out.errors.resize(problem.ranks);
  out.sent.resize(problem.ranks);
  out.mean_values.assign(problem.steps + 1, std::vector<double>(size));
  out.mean_steps.assign(problem.steps, std::vector<double>(size));
  const double n = problem.ranks, beta = problem.algorithm.momentum;
  comm::RunSimulated(problem.ranks, [&](comm::Communicator& ranks) {
    const auto algorithm = MakeAlgorithm<T>(problem.algorithm, problem.compress, layout, 3);
    FlatBuffer<T> x(size), gradient(size);
    std::vector<double> momentum(size);
    for (int64_t i = 0; i < size; ++i) {
      if (real[i]) x.data()[i] = static_cast<T>(Number(3, i));
      out.mean_values[0][i] += static_cast<double>(x.data()[i]) / n;
    }
    algorithm->Begin(x.span());
    for (int64_t t = 1; t <= problem.steps; ++t) {
      for (int64_t i = 0; i < size; ++i) {
        if (!real[i]) continue;
        const double noise =
            problem.noise == 0
                ? 0
                : problem.noise * Number(1000 + static_cast<uint64_t>(t), i * 64 + ranks.rank());
        const double value = x.data()[i];
        const double g = Curvature(i) * (value - Minimum(i, ranks.rank(), problem.spread)) + noise;
        gradient.data()[i] = static_cast<T>(g);
        const double decayed = g + problem.algorithm.weight_decay * value;
        momentum[i] = beta * momentum[i] + decayed;
        out.mean_steps[t - 1][i] += problem.learning_rate * (decayed + beta * momentum[i]) / n;
      }
      algorithm->Step({.step = t,
                       .learning_rate = problem.learning_rate,
                       .values = x.span(),
                       .gradient = gradient.span(),
                       .ranks = ranks});
      for (int64_t i = 0; i < size; ++i) {
        out.mean_values[t][i] += static_cast<double>(x.data()[i]) / n;
      }
      if (ranks.rank() == 0) {
        out.planned += BytesSent(algorithm->MessageOf(t), problem.ranks, sizeof(T));
      }
    }
    const int r = ranks.rank();
    out.values[r].assign(x.span().begin(), x.span().end());
    out.errors[r].assign(algorithm->error().begin(), algorithm->error().end());
    out.sent[r] = static_cast<double>(ranks.traffic().sent);
  });
  return out;
}

template <class T>
double LargestDifference(const std::vector<T>& a, const std::vector<T>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

}  // namespace orchard::sync
