// The CPU twins of the kernels against plain loops in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "nn/activation.h"
#include "nn/cross_entropy.h"
#include "nn/dropout.h"
#include "nn/norm.h"
#include "unit/nn/buffers.h"

namespace orchard::nn {
namespace {

template <class T>
class KernelTwins : public ::testing::Test {};
using StoredTypes = ::testing::Types<float, double, BFloat16, Float16>;
TYPED_TEST_SUITE(KernelTwins, StoredTypes);

struct NormCase {
  NormKind kind;
  double offset;
  bool bias;
};
constexpr NormCase kNormCases[] = {{NormKind::kLayerNorm, 0, true},
                                   {NormKind::kRmsNorm, 0, false},
                                   {NormKind::kRmsNorm, 1, false}};
constexpr double kEpsilon = 1e-5;

// One row's statistics by definition.
struct Statistics {
  double mean, rstd;
};
Statistics RowStatistics(const double* x, int64_t n, NormKind kind) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < n; ++i) mean += x[i] / static_cast<double>(n);
  if (kind == NormKind::kRmsNorm) mean = 0;
  for (int64_t i = 0; i < n; ++i)
    variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(n);
  return {mean, 1 / std::sqrt(variance + kEpsilon)};
}

TYPED_TEST(KernelTwins, NormForwardMatchesItsDefinition) {
  using T = TypeParam;
  using C = ComputeOf<T>;
  constexpr int64_t kRows = 37, kColumns = 93;
  const auto x = RandomBuffer<T>(kRows * kColumns, 1, 0.5), weight = RandomBuffer<T>(kColumns, 2),
             bias = RandomBuffer<T>(kColumns, 3);
  const auto xs = Values(x), ws = Values(weight), bs = Values(bias);
  for (const NormCase& c : kNormCases) {
    Buffer<T> y(x.size());
    std::vector<C> mean(kRows), rstd(kRows);
    NormForward({"x", c.kind, kFloatTypeOf<T>, kFloatTypeOf<T>, kRows, kColumns, kEpsilon, c.offset,
                 x.data(), weight.data(), c.bias ? bias.data() : nullptr, y.data(), mean.data(),
                 rstd.data()});
    std::vector<double> expected(x.size());
    for (int64_t row = 0; row < kRows; ++row) {
      const Statistics s = RowStatistics(&xs[row * kColumns], kColumns, c.kind);
      for (int64_t i = 0; i < kColumns; ++i) {
        expected[row * kColumns + i] =
            (xs[row * kColumns + i] - s.mean) * s.rstd * (ws[i] + c.offset) + (c.bias ? bs[i] : 0);
      }
      EXPECT_NEAR(rstd[row], s.rstd, 32 * std::numeric_limits<C>::epsilon());
    }
    ExpectClose<T>(y, expected, 8);
  }
}

TYPED_TEST(KernelTwins, NormBackwardMatchesItsDefinition) {
  using T = TypeParam;
  using C = ComputeOf<T>;
  constexpr int64_t kRows = 1100,
                    kColumns = 40;  // more rows than kNormPartials: several rows a group
  const auto x = RandomBuffer<T>(kRows * kColumns, 4, 0.3),
             dy = RandomBuffer<T>(kRows * kColumns, 5), weight = RandomBuffer<T>(kColumns, 6);
  const auto xs = Values(x), dys = Values(dy), ws = Values(weight);
  for (const NormCase& c : kNormCases) {
    std::vector<C> mean(kRows), rstd(kRows);
    std::vector<double> dx(x.size()), dweight(kColumns), dbias(kColumns);
    for (int64_t row = 0; row < kRows; ++row) {
      const double *xr = &xs[row * kColumns], *dr = &dys[row * kColumns];
      const Statistics s = RowStatistics(xr, kColumns, c.kind);
      mean[row] = static_cast<C>(s.mean);
      rstd[row] = static_cast<C>(s.rstd);
      double g = 0, gn = 0;
      for (int64_t i = 0; i < kColumns; ++i) {
        const double n = (xr[i] - s.mean) * s.rstd;
        dweight[i] += dr[i] * n;
        dbias[i] += dr[i];
        g += dr[i] * (ws[i] + c.offset) / kColumns;
        gn += dr[i] * (ws[i] + c.offset) * n / kColumns;
      }
      if (c.kind == NormKind::kRmsNorm) g = 0;
      for (int64_t i = 0; i < kColumns; ++i) {
        const double n = (xr[i] - s.mean) * s.rstd;
        dx[row * kColumns + i] = s.rstd * (dr[i] * (ws[i] + c.offset) - g - n * gn);
      }
    }
    Buffer<T> got_dx(x.size()), got_dweight(kColumns), got_dbias(kColumns);
    std::vector<char> workspace(NormBackwardWorkspace(kRows, kColumns, kFloatTypeOf<T>));
    NormBackward({"x", c.kind, kFloatTypeOf<T>, kFloatTypeOf<T>, kRows, kColumns, c.offset,
                  dy.data(), x.data(), weight.data(), mean.data(), rstd.data(), got_dx.data(),
                  got_dweight.data(), c.bias ? got_dbias.data() : nullptr, workspace.data()});
    ExpectClose<T>(got_dx, dx, 16);
    ExpectClose<T>(got_dweight, dweight, 16, std::sqrt(kRows));
    if (c.bias) ExpectClose<T>(got_dbias, dbias, 16, std::sqrt(kRows));
  }
}

double Derivative(double (*f)(double), double x) {
  constexpr double kStep = 1e-5;
  return (f(x + kStep) - f(x - kStep)) / (2 * kStep);
}
double Gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double GeluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double Silu(double x) { return x / (1 + std::exp(-x)); }

struct ActivationCase {
  Activation activation;
  double (*f)(double);
};
constexpr ActivationCase kActivations[] = {
    {Activation::kGelu, &Gelu}, {Activation::kGeluTanh, &GeluTanh}, {Activation::kSilu, &Silu}};
constexpr double kDifferenceError = 1e-9;  // of the central differences above

TYPED_TEST(KernelTwins, BiasActivationMatchesItsDefinition) {
  using T = TypeParam;
  constexpr int64_t kRows = 150, kColumns = 37;
  const auto x = RandomBuffer<T>(kRows * kColumns, 7, 0, 3), dy = RandomBuffer<T>(x.size(), 8),
             bias = RandomBuffer<T>(kColumns, 9);
  const auto xs = Values(x), dys = Values(dy), bs = Values(bias);
  for (const ActivationCase& c : kActivations) {
    std::vector<double> y(x.size()), dx(x.size()), dbias(kColumns);
    for (size_t i = 0; i < x.size(); ++i) {
      const double sum = xs[i] + bs[i % kColumns];
      y[i] = c.f(sum);
      dx[i] = dys[i] * Derivative(c.f, sum);
      dbias[i % kColumns] += dx[i];
    }
    Buffer<T> got_y(x.size()), got_dx(x.size()), got_dbias(kColumns);
    BiasActivationForward(
        {"x", c.activation, kFloatTypeOf<T>, kRows, kColumns, x.data(), bias.data(), got_y.data()});
    std::vector<char> workspace(BiasActivationWorkspace(kRows, kColumns, kFloatTypeOf<T>));
    BiasActivationBackward({"x", c.activation, kFloatTypeOf<T>, kRows, kColumns, dy.data(),
                            x.data(), bias.data(), got_dx.data(), got_dbias.data(),
                            workspace.data()});
    ExpectClose<T>(got_y, y, 8);
    const double spacings = 8 + kDifferenceError / Spacing<T>();
    ExpectClose<T>(got_dx, dx, spacings);
    ExpectClose<T>(got_dbias, dbias, spacings, std::sqrt(kRows));
  }
}

TYPED_TEST(KernelTwins, GatedActivationMatchesItsDefinition) {
  using T = TypeParam;
  constexpr int64_t kCount = 20011;
  const auto gate = RandomBuffer<T>(kCount, 10, 0, 3), up = RandomBuffer<T>(kCount, 11),
             dy = RandomBuffer<T>(kCount, 12);
  const auto gates = Values(gate), ups = Values(up), dys = Values(dy);
  for (const ActivationCase& c : kActivations) {
    std::vector<double> y(kCount), dgate(kCount), dup(kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      y[i] = c.f(gates[i]) * ups[i];
      dgate[i] = dys[i] * ups[i] * Derivative(c.f, gates[i]);
      dup[i] = dys[i] * c.f(gates[i]);
    }
    Buffer<T> got_y(kCount), got_dgate(kCount), got_dup(kCount);
    GatedForward(
        {"x", c.activation, kFloatTypeOf<T>, kCount, gate.data(), up.data(), got_y.data()});
    GatedBackward({"x", c.activation, kFloatTypeOf<T>, kCount, dy.data(), gate.data(), up.data(),
                   got_dgate.data(), got_dup.data()});
    ExpectClose<T>(got_y, y, 8);
    ExpectClose<T>(got_dgate, dgate, 8 + 10 * kDifferenceError / Spacing<T>());
    ExpectClose<T>(got_dup, dup, 8);
  }
}

TYPED_TEST(KernelTwins, CrossEntropyMatchesItsDefinition) {
  using T = TypeParam;
  using C = ComputeOf<T>;
  constexpr int64_t kRows = 53, kClasses = 131, kIgnored = -100;
  const auto logits = RandomBuffer<T>(kRows * kClasses, 13, 2, 4);
  const auto xs = Values(logits);
  std::vector<int64_t> targets(kRows);
  std::vector<C> dloss(kRows);
  for (int64_t row = 0; row < kRows; ++row) {
    targets[row] = row % 7 == 3 ? kIgnored : (row * 29) % kClasses;
    dloss[row] = static_cast<C>(1 + row % 3);
  }
  for (const double smoothing : {0.0, 0.1}) {
    std::vector<double> loss(kRows), dlogits(logits.size());
    for (int64_t row = 0; row < kRows; ++row) {
      const double* x = &xs[row * kClasses];
      if (targets[row] == kIgnored) continue;
      double sum = 0;
      for (int64_t i = 0; i < kClasses; ++i) sum += std::exp(x[i]);
      for (int64_t i = 0; i < kClasses; ++i) {
        const double wanted = smoothing / kClasses + (i == targets[row] ? 1 - smoothing : 0);
        loss[row] -= wanted * (x[i] - std::log(sum));
        dlogits[row * kClasses + i] = dloss[row] * (std::exp(x[i]) / sum - wanted);
      }
    }
    Buffer<C> got_loss(kRows), log_sum(kRows);
    Buffer<T> got_dlogits(logits.size());
    CrossEntropyForward({"logits", kFloatTypeOf<T>, kRows, kClasses, kIgnored, smoothing,
                         logits.data(), targets.data(), got_loss.data(), log_sum.data()});
    CrossEntropyBackward({"logits", kFloatTypeOf<T>, kRows, kClasses, kIgnored, smoothing,
                          logits.data(), targets.data(), log_sum.data(), dloss.data(),
                          got_dlogits.data()});
    ExpectClose<C>(got_loss, loss, 32);
    ExpectClose<T>(got_dlogits, dlogits, 32);
  }
}

TEST(CrossEntropy, NamesTheRowOfATargetOutOfRange) {
  const std::vector<float> logits(6, 0.0f);
  const std::vector<int64_t> targets = {0, 3};
  std::vector<float> loss(2), log_sum(2);
  try {
    CrossEntropyForward({"logits", FloatType::kF32, 2, 3, -100, 0, logits.data(), targets.data(),
                         loss.data(), log_sum.data()});
    FAIL() << "accepted target 3 of 3 classes";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("row 1"), std::string::npos) << error.what();
  }
}

TEST(CrossEntropy, SurvivesLogitsThatWouldOverflowExp) {
  const std::vector<float> logits = {1e4f, 0.0f, -1e30f, -INFINITY, -INFINITY, 5.0f};
  const std::vector<int64_t> targets = {0, 2};
  std::vector<float> loss(2), log_sum(2);
  CrossEntropyForward({"logits", FloatType::kF32, 2, 3, -100, 0, logits.data(), targets.data(),
                       loss.data(), log_sum.data()});
  EXPECT_EQ(loss[0], 0.0f);
  EXPECT_EQ(loss[1], 0.0f);
  EXPECT_EQ(log_sum[1], 5.0f);
}

DropoutArgs DropoutOf(const std::vector<float>& x, std::vector<float>& y, double probability) {
  DropoutArgs args;
  args.count = static_cast<int64_t>(x.size());
  args.probability = probability;
  args.key = PhiloxKey(3, 14);
  args.stream = 15;
  args.x = x.data();
  args.y = y.data();
  return args;
}

TEST(Dropout, KeepsTheElementsThatPhiloxSaysAndScalesThem) {
  constexpr double kProbability = 0.3;
  const std::vector<float> x(10007, 7.0f);
  std::vector<float> y(x.size());
  Dropout(DropoutOf(x, y, kProbability));
  int64_t kept = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const uint32_t draw = PhiloxAt(PhiloxKey(3, 14), i / 4, 15).word[i % 4];
    const bool keep = draw / 4294967296.0 >= kProbability;
    ASSERT_EQ(y[i], keep ? 7.0f * static_cast<float>(1 / 0.7) : 0.0f) << i;
    kept += keep;
  }
  EXPECT_NEAR(kept / 10007.0, 0.7, 5 * std::sqrt(0.21 / 10007));
}

TEST(Dropout, AddsTheResidualInTheSamePass) {
  const std::vector<float> x = RandomBuffer<float>(999, 1), residual = RandomBuffer<float>(999, 2);
  std::vector<float> alone(x.size()), both(x.size());
  Dropout(DropoutOf(x, alone, 0.5));
  DropoutArgs args = DropoutOf(x, both, 0.5);
  args.residual = residual.data();
  Dropout(args);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(both[i], residual[i] + alone[i]);
}

TEST(Dropout, DropsWholeSamplesOnDropPath) {
  constexpr int64_t kGroup = 17, kSamples = 400;
  const std::vector<float> x(kGroup * kSamples, 1.0f);
  std::vector<float> y(x.size());
  DropoutArgs args = DropoutOf(x, y, 0.25);
  args.group = kGroup;
  Dropout(args);
  int64_t kept = 0;
  for (int64_t sample = 0; sample < kSamples; ++sample) {
    for (int64_t i = 1; i < kGroup; ++i) ASSERT_EQ(y[sample * kGroup + i], y[sample * kGroup]);
    kept += y[sample * kGroup] != 0;
  }
  EXPECT_NEAR(kept / 400.0, 0.75, 5 * std::sqrt(0.1875 / 400));
}

}  // namespace
}  // namespace orchard::nn
