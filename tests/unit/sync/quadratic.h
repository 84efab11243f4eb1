// Ranks that minimise quadratics of their own: f_i(x) = 1/2 sum a (x - b_i)^2, with noise in the
// gradients where wanted. Everything a test needs to know about a run.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/philox.h"
#include "comm/simulated.h"
#include "sync/algorithm.h"
#include "sync/local_optimizer.h"

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
  // Steps in parts, gradients being ready tensor by tensor in an order of their own.
  bool streamed = false;
  RatioStages stages;
};

template <class T>
struct Outcome {
  // Per rank, after the last step: where it takes gradients, its error if it has one, and what all
  // ranks have in common.
  std::vector<std::vector<T>> values, errors, common_parts;
  std::vector<std::map<std::string, std::vector<T>, std::less<>>>
      states;                // the algorithm's buffers
  std::vector<double> sent;  // bytes, per rank
  double planned = 0;        // bytes, by the formulas
  // Per step: the mean model before and after, and the mean step of momentum over the ranks' local
  // gradients.
  std::vector<std::vector<double>> mean_values, mean_steps;
};

// a and b of element i.
inline double Curvature(int64_t i) { return 1.25 + 0.75 * Number(1, i); }
inline double Minimum(int64_t i, int rank, double spread) {
  return Number(2, i) + spread * Number(10 + static_cast<uint64_t>(rank), i);
}

// Start, Ready for all tensors but one, and Finish: from the last tensor to the first in odd steps,
// in another order in even ones.
template <class T>
void StepInParts(Algorithm<T>& algorithm, const StepInput<T>& input, size_t slots) {
  algorithm.Start(input);
  for (size_t i = 0; i < slots; ++i) {
    const size_t slot = input.step % 2 == 1 ? slots - 1 - i : (i + 2) % slots;
    if (slot != 1) algorithm.Ready(slot);
  }
  algorithm.Finish();
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
  out.common_parts.resize(problem.ranks);
  out.states.resize(problem.ranks);
  out.sent.resize(problem.ranks);
  out.mean_values.assign(problem.steps + 1, std::vector<double>(size));
  out.mean_steps.assign(problem.steps, std::vector<double>(size));
  const double n = problem.ranks, beta = problem.algorithm.momentum;
  comm::RunSimulated(problem.ranks, [&](comm::Communicator& ranks) {
    const auto algorithm =
        MakeAlgorithm<T>(problem.algorithm, problem.compress, layout, 3, problem.stages);
    // What a rank would do by itself; SGD's steps are made here, too, in plain words.
    LocalOptimizer<T> alone(problem.algorithm, layout);
    FlatBuffer<T> x(size), gradient(size);
    std::vector<double> momentum(size);
    for (int64_t i = 0; i < size; ++i) {
      if (real[i]) x.data()[i] = static_cast<T>(Number(3, i));
      out.mean_values[0][i] += static_cast<double>(x.data()[i]) / n;
    }
    algorithm->Begin(x.span());
    algorithm->ResumeAt(0);
    // The mean over ranks of the models in full.
    const auto add_mean = [&](std::vector<double>& mean, std::span<const T> values) {
      std::vector<T> whole(values.begin(), values.end());
      algorithm->AddHeldBack(whole);
      for (int64_t i = 0; i < size; ++i) mean[i] += static_cast<double>(whole[i]) / n;
    };
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
        if (problem.algorithm.base == BaseOptimizer::kSgd) {
          out.mean_steps[t - 1][i] += problem.learning_rate * (decayed + beta * momentum[i]) / n;
        }
      }
      const StepInput<T> input{.step = t,
                               .learning_rate = problem.learning_rate,
                               .values = x.span(),
                               .gradient = gradient.span(),
                               .ranks = ranks};
      if (problem.algorithm.base != BaseOptimizer::kSgd) {
        const std::vector<T> kept(gradient.span().begin(), gradient.span().end());
        std::vector<T> step(size);
        alone.MakeStep(input, step);
        std::copy(kept.begin(), kept.end(), gradient.data());
        for (int64_t i = 0; i < size; ++i) {
          out.mean_steps[t - 1][i] += static_cast<double>(step[i]) / n;
        }
      }
      if (problem.streamed && algorithm->Streams()) {
        StepInParts(*algorithm, input, layout.slots().size());
      } else {
        algorithm->Step(input);
      }
      add_mean(out.mean_values[t], x.span());
      if (ranks.rank() == 0) {
        out.planned += BytesSent(algorithm->MessageOf(t, problem.ranks), problem.ranks, sizeof(T));
      }
    }
    const int r = ranks.rank();
    out.values[r].assign(x.span().begin(), x.span().end());
    out.errors[r].assign(algorithm->error().begin(), algorithm->error().end());
    for (const StateBuffer<T>& s : algorithm->State()) {  // what is on its way counts as sent
      out.states[r][std::string(s.name)].assign(s.values.begin(), s.values.end());
    }
    out.common_parts[r] = out.values[r];
    algorithm->RemoveErrors(out.common_parts[r]);
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
