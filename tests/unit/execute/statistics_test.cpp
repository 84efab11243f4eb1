#include "execute/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "execute/input_spec.h"
#include "execute/pack.h"
#include "execute/prediction.h"
#include "place/training_step.h"

namespace orchard::execute {
namespace {

TEST(FitLink, FindsBothCoefficientsOfALine) {
  std::vector<TransferTime> times;
  for (int64_t bytes = 1024; bytes <= 1 << 26; bytes *= 4)
    times.push_back({bytes, 35 + 2e-4 * static_cast<double>(bytes)});
  const LinkFit fit = FitLink(times);
  EXPECT_NEAR(fit.us_per_byte, 2e-4, 1e-12);
  EXPECT_NEAR(fit.latency_us, 35, 1e-6);
  EXPECT_NEAR(fit.r2, 1, 1e-9);
}

TEST(FitLink, LatencyIsNotLeftToTheNoiseOfLargeTransfers) {
  // A fifth of noise on the large sizes is thousands of microseconds there. The line that
  // least squares draws through all points misses the latency by more than ten times its value.
  std::vector<TransferTime> times;
  int sign = 1;
  for (int64_t bytes = 1024; bytes <= 1 << 28; bytes *= 4, sign = -sign) {
    const double us = 35 + 2e-4 * static_cast<double>(bytes);
    times.push_back({bytes, bytes > 1'000'000 ? us * (1 + 0.1 * sign) : us});
  }
  const LinkFit fit = FitLink(times);
  EXPECT_NEAR(fit.us_per_byte, 2e-4, 0.3e-4);
  EXPECT_NEAR(fit.latency_us, 35, 5);
  EXPECT_GT(fit.r2, 0.98);
}

TEST(FitLink, CoefficientsAreNotNegative) {
  const LinkFit fit =
      FitLink(std::vector<TransferTime>{{1000, 50}, {2'000'000, 20}, {4'000'000, 10}});
  EXPECT_GE(fit.us_per_byte, 0);
  EXPECT_GE(fit.latency_us, 0);
}

TEST(Median, OfEvenAndOddNumbers) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(Median({}), 0);
}

TEST(InputSpec, ReadsShapesTypesAndClasses) {
  EXPECT_EQ(ToText(ParseInputSpec("8x3x224x224")), "8x3x224x224/f32");
  EXPECT_EQ(ToText(ParseInputSpec("8x40/i64:30000")), "8x40/i64:30000");
  for (const char* text : {"", "8x", "x8", "8/f31", "8/i64:0", "-1", "8 x 3", "99999999999x99999"})
    EXPECT_THROW(ParseInputSpec(text), UsageError) << text;
}

TEST(Pack, UnpackingGivesWhatWasPacked) {
  std::vector<std::vector<unsigned char>> tensors;
  for (size_t bytes : {1, 15, 16, 17, 255, 256, 257, 4096, 5000})
    tensors.emplace_back(bytes, static_cast<unsigned char>(bytes % 251));
  PackArgs args;
  int64_t end = 0;
  for (auto& tensor : tensors) {
    tensor.back() = 7;
    EXPECT_EQ(
        AddToPack(args, tensor.data(), static_cast<int64_t>(tensor.size()), end) % kPackAlignment,
        0);
  }
  std::vector<std::max_align_t> buffer(end / sizeof(std::max_align_t) + 1);
  args.buffer = buffer.data();
  const auto expected = tensors;
  Pack(args);
  for (auto& tensor : tensors) std::fill(tensor.begin(), tensor.end(), 0);
  args.unpack = true;
  Pack(args);
  EXPECT_EQ(tensors, expected);
}

TEST(Pack, RefusesWhatDoesNotFit) {
  PackArgs args;
  int64_t end = 0;
  char byte = 0;
  for (int k = 0; k < kPackMost; ++k) AddToPack(args, &byte, 1, end);
  EXPECT_THROW(AddToPack(args, &byte, 1, end), UsageError);
  EXPECT_THROW(Pack(args), UsageError);  // no buffer
}

// a -> b -> c, 10, 20 and 30 us forward, twice that backward, on two devices.
place::Graph ThreeOperators() {
  place::GraphBuilder builder("test");
  for (const char* name : {"a", "b", "c"}) {
    const double us = 10 * (name[0] - 'a' + 1);
    builder.AddOp({.name = name, .us = us, .bwd_us = 2 * us, .out = {100}}, name);
  }
  builder.AddUse(0, 1, "a:0", 100, -1, "");
  builder.AddUse(1, 2, "b:0", 100, -1, "");
  return builder.Build();
}

TEST(Predict, ATrainingStepOnOneDeviceIsTheSumOfAllTimes) {
  const place::Cluster cluster(1, INT64_MAX, {}, place::Comm::kParallel);
  const Layout layout{{0, 0, 0}, {{0, 1, 2}}};
  EXPECT_DOUBLE_EQ(Predict(ThreeOperators(), cluster, layout, false).us(), 60);
  EXPECT_DOUBLE_EQ(Predict(ThreeOperators(), cluster, layout, true).us(), 180);
}

// The step of SGD counts once: by itself, and neither in the backward pass nor by bytes as well.
TEST(Predict, UpdatesCountOnceAsInAPlacedStep) {
  place::GraphBuilder builder("test");
  builder.AddOp(
      {.name = "a", .us = 10, .bwd_us = 20, .update_us = 7, .perm = 4'000'000, .out = {100}}, "a");
  const place::Graph graph = builder.Build();
  const place::Cluster cluster(1, INT64_MAX, {}, place::Comm::kParallel);
  EXPECT_DOUBLE_EQ(Predict(graph, cluster, {{0}, {{0}}}, true).us(), 37);
  EXPECT_DOUBLE_EQ(Predict(graph, cluster, {{0}, {{0}}}, false).us(), 10);
  const auto step = [&](place::Optimizer optimizer) {
    const place::Graph placed = place::BuildTrainingStep(graph, {.optimizer = optimizer});
    double us = 0;
    for (const place::Op& op : placed.ops) us += op.us;
    return us;
  };
  EXPECT_DOUBLE_EQ(step(place::Optimizer::kSgd), 37);
  EXPECT_DOUBLE_EQ(step(place::Optimizer::kAdam), 30 + 7 * 7.0 / 3);  // 7 sizes moved instead of 3
  EXPECT_DOUBLE_EQ(step(place::Optimizer::kNone), 30);
}

TEST(Predict, GradientsComeBackOverTheLink) {
  const place::Cluster cluster(2, INT64_MAX, {0.01, 4}, place::Comm::kParallel);
  const Layout layout{{0, 1, 0}, {{0, 2}, {1}}};
  // A chain on alternating devices: two transfers of 5 us on the way there and two back.
  EXPECT_DOUBLE_EQ(Predict(ThreeOperators(), cluster, layout, true).us(), 180 + 4 * 5);
}

}  // namespace
}  // namespace orchard::execute
