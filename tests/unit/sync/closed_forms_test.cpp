// Runs whose outcome is known in closed form.
#include <gtest/gtest.h>

#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

using K = AlgorithmKind;

Quadratic Plain(K kind) {
  Quadratic q;
  q.algorithm = {.algo = kind, .momentum = 0, .weight_decay = 0};
  q.compress.block = 32;
  q.compress.ratio = 8;
  return q;
}

// One round of local SGD on quadratics is x <- mean_i [b_i + (1 - lr a)^H (x - b_i)].
TEST(LocalSgd, RoundsOnQuadraticsHaveAClosedForm) {
  const ArenaLayout layout = SmallLayout();
  for (const Implementation impl : {Implementation::kOne, Implementation::kTwo}) {
    Quadratic q = Plain(K::kLocalSgd);
    q.algorithm.impl = impl;
    q.compress.interval = 5;
    q.steps = 35;
    const auto out = Minimise<double>(layout, q);
    for (const Slot& slot : layout.slots()) {
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        double x = Number(3, i), b = 0;
        for (int r = 0; r < q.ranks; ++r) b += Minimum(i, r, q.spread) / q.ranks;
        const double keep = std::pow(1 - q.learning_rate * Curvature(i), 5);
        for (int round = 0; round < 7; ++round) x = b + keep * (x - b);
        EXPECT_NEAR(out.values[1][i], x, 1e-12);
      }
    }
  }
}

// With one objective and no noise all ranks do the same, so there is no error to speak of: error
// reset is gradient descent, whatever is compressed. Error feedback is not: it delays.
TEST(ErrorReset, IsGradientDescentOnOneObjective) {
  const ArenaLayout layout = SmallLayout();
  const auto run = [&](K kind, Implementation impl = Implementation::kAuto) {
    Quadratic q = Plain(kind);
    q.algorithm.impl = impl;
    q.spread = 0;
    return Minimise<double>(layout, q).values[2];
  };
  const std::vector<double> descent = run(K::kSgd);
  for (const K kind : {K::kCser, K::kCsea, K::kCserPl, K::kLocalSgd}) {
    EXPECT_LT(LargestDifference(run(kind), descent), 1e-13) << NameOf(kind);
    EXPECT_LT(LargestDifference(run(kind, Implementation::kOne), descent), 1e-13);
  }
  for (const K kind : {K::kEfSgd, K::kQsparse, K::kTopKEf}) {
    EXPECT_GT(LargestDifference(run(kind), descent), 1e-2) << NameOf(kind);
  }
}

// Theorem 1: (1/T) sum |grad F(mean x)|^2 <= 2 (F(x_0) - F*) / (lr T)
//   + [4 (1 - d1)/d1^2 + 1] 2 (1 - d2) lr^2 L^2 H^2 V2 + L lr V1 / n  for lr <= 1/L.
TEST(Cser, MeanGradientStaysBelowTheBoundOfTheTheorem) {
  const ArenaLayout layout = SmallLayout();
  constexpr double kLargestCurvature = 2;  // of Curvature
  for (const double c1 : {2.0, 8.0}) {
    for (const double c2 : {2.0, 8.0}) {
      for (const int64_t interval : {1, 4}) {
        for (const double rate : {0.02, 0.1, 0.4}) {
          Quadratic q = Plain(K::kCser);
          q.algorithm.impl = Implementation::kOne;
          q.compress.c1_ratio = c1;
          q.compress.c2_ratio = c2;
          q.compress.interval = interval;
          q.compress.order = BlockOrder::kUniform;
          q.learning_rate = rate;
          q.noise = 0.5;
          q.steps = 200;
          const auto out = Minimise<double>(layout, q);
          double gradients = 0, start = 0, first_gradient = 0, noise = 0;
          for (const Slot& slot : layout.slots()) {
            for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
              double b = 0, squares = 0;
              for (int r = 0; r < q.ranks; ++r) {
                const double own = Minimum(i, r, q.spread);
                b += own / q.ranks;
                // Any rank's gradient in the region that the run stays in.
                squares = std::max(squares, std::pow(Curvature(i) * (3 + std::abs(own)), 2));
              }
              for (int64_t t = 0; t < q.steps; ++t) {
                gradients += std::pow(Curvature(i) * (out.mean_values[t][i] - b), 2) /
                             static_cast<double>(q.steps);
              }
              start += 0.5 * Curvature(i) * std::pow(Number(3, i) - b, 2);
              first_gradient += squares;
              noise += q.noise * q.noise / 3;  // uniform in +-0.5
            }
          }
          const double d1 = 1 / c1, d2 = 1 / c2, h = static_cast<double>(interval);
          const double drift = (4 * (1 - d1) / (d1 * d1) + 1) * 2 * (1 - d2) *
                               std::pow(rate * kLargestCurvature * h, 2) * first_gradient;
          const double bound = 2 * start / (rate * static_cast<double>(q.steps)) + drift +
                               kLargestCurvature * rate * noise / q.ranks;
          EXPECT_LT(gradients, bound);
          EXPECT_GT(gradients, 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace orchard::sync
