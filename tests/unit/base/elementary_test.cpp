#include "base/elementary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace orchard {
namespace {

TEST(Elementary, ExpIsAccurateOverItsWholeRange) {
  double worst = 0;
  for (double x = -86.9; x < 88.7; x += 1.0 / 1024) {
    const float argument = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(argument));
    worst = std::max(worst, std::abs(Exp(argument) - exact) / exact);
  }
  EXPECT_LT(worst, 2e-7);
}

TEST(Elementary, ExpSaturatesAndKeepsNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-1000.0f), 0.0f);
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(100.0f), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(NAN)));
}

TEST(Elementary, NormalCdfIsAccurateInBothTails) {
  double relative = 0, absolute = 0;
  for (double x = -12; x < 12; x += 1.0 / 512) {
    const float argument = static_cast<float>(x);
    const double exact = 0.5 * std::erfc(-static_cast<double>(argument) / std::sqrt(2.0));
    const double error = std::abs(NormalCdf(argument) - exact);
    absolute = std::max(absolute, error);
    if (x > -5) relative = std::max(relative, error / exact);
  }
  EXPECT_LT(relative, 2e-6);
  EXPECT_LT(absolute, 2e-7);
}

TEST(Elementary, SigmoidHasItsLimits) {
  EXPECT_EQ(Sigmoid(0.0f), 0.5f);
  EXPECT_EQ(Sigmoid(200.0f), 1.0f);
  EXPECT_EQ(Sigmoid(-200.0f), 0.0f);
}

}  // namespace
}  // namespace orchard
