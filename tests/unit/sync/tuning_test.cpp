#include "sync/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "comm/simulated.h"
#include "sync/algorithm.h"

namespace orchard::sync {
namespace {

using testing::HasSubstr;

// Times of all-reduces among n ranks by the model.
std::vector<AllReduceTime> Times(const LinkModel& link, int n, double noise = 0) {
  std::vector<AllReduceTime> times;
  for (double bytes = 1024; bytes < 2e7; bytes *= 4) {
    const double exact = 2 * (n - 1) * link.latency + 2.0 * (n - 1) / n * bytes / link.bandwidth;
    times.push_back({bytes, exact * (1 + noise)});
    noise = -noise;
  }
  return times;
}

TEST(Link, IsFoundFromItsTimes) {
  for (const LinkModel link : {LinkModel{50e-6, 12.5e6}, {2e-6, 1e10}, {1e-3, 1e8}}) {
    for (const int n : {2, 8, 64}) {
      const LinkModel fit = FitLink(Times(link, n), n);
      EXPECT_NEAR(fit.latency, link.latency, 1e-6 * link.latency);
      EXPECT_NEAR(fit.bandwidth, link.bandwidth, 1e-6 * link.bandwidth);
      const LinkModel noisy = FitLink(Times(link, n, 0.05), n);
      EXPECT_NEAR(noisy.latency, link.latency, 0.2 * link.latency);
      EXPECT_NEAR(noisy.bandwidth, link.bandwidth, 0.2 * link.bandwidth);
    }
  }
}

TEST(Link, TimesAreTheSameOnAllRanks) {
  std::vector<std::vector<double>> seconds(3);
  comm::RunSimulated(3, [&](comm::Communicator& c) {
    // The first size is always timed to its end.
    for (const AllReduceTime& t : TimeAllReduces(c, 1e-4)) seconds[c.rank()].push_back(t.seconds);
  });
  EXPECT_EQ(seconds[1], seconds[0]);
  EXPECT_EQ(seconds[2], seconds[0]);
}

Tuning Measured(double compute, double dense, double configured) {
  Tuning t;
  t.ranks = 4;
  t.parameters = 1'000'000;
  t.link = {50e-6, 12.5e6};  // 100 Mb/s: a dense exchange is 0.48 s
  t.algorithm = "cser";
  t.compute = compute;
  t.dense = dense;
  t.configured = configured;
  Advise(t);
  return t;
}

TEST(Tuning, SaysWhenThereIsNothingToGain) {
  const Tuning t = Measured(1, 1.03, 1.01);
  EXPECT_EQ(t.advised_ratio, 1);
  EXPECT_EQ(t.delay, 0);
  EXPECT_FALSE(t.pays);
  EXPECT_THAT(t.Text(), HasSubstr("compression does not pay here"));
}

TEST(Tuning, FindsTheRatioThatHidesTheWire) {
  // 30 ms of computation, nothing hidden: 0.48 s / R + 0.3 ms is below 5 % of a step from R = 512
  // on.
  const Tuning t = Measured(0.03, 0.51, 0.04);
  EXPECT_EQ(t.advised_ratio, 512);
  EXPECT_TRUE(t.pays);
  EXPECT_NEAR(t.predictions[0].seconds, 0.5103, 1e-3);
  EXPECT_THAT(t.Text(), HasSubstr("compression pays"));
}

TEST(Tuning, SaysWhenOnlyTheSettingsAreWrong) {
  EXPECT_THAT(Measured(0.03, 0.51, 0.5).Text(), HasSubstr("these settings do not pay"));
}

// A message that a bucket cuts off should be ten times as long on the wire as its latency.
TEST(Tuning, BucketsOutweighTheirLatency) {
  const Tuning t = Measured(0.03, 0.51, 0.04);
  const double bytes = 1e6 * t.bucket_mb;
  const double wire = 2.0 * 3 / 4 * bytes / t.link.bandwidth, latency = 2 * 3 * t.link.latency;
  EXPECT_NEAR(wire / latency, 10, 1e-9);
}

const ArenaLayout kLarge({{"a", {1000, 1000}}}), kSmall({{"a", {64, 64}}});

TEST(TuningChoice, IsDenseWhereThereIsNothingToGain) {
  AlgorithmOptions algorithm{.impl = Implementation::kOne, .momentum_sync = MomentumSync::kReset};
  CompressOptions compress{.c1 = CompressorKind::kTopK, .interval = 7, .theta = 0.5};
  const TuningChoice choice = ChooseBy(Measured(1, 1.03, 1.01), algorithm, compress, kLarge);
  EXPECT_EQ(choice.algo, AlgorithmKind::kSgd);
  EXPECT_THAT(choice.text, HasSubstr("compression does not pay here"));
  EXPECT_THAT(choice.text, HasSubstr("training with --algo sgd"));
  ApplyChoice(choice, algorithm, compress);
  EXPECT_NO_THROW(MakeAlgorithm<float>(algorithm, compress, kLarge, 0));
}

TEST(TuningChoice, TakesTheAdvisedRatioAndWhatFollowsFromIt) {
  AlgorithmOptions algorithm{.algo = AlgorithmKind::kSgd};
  CompressOptions compress{.ratio = 3, .c1_ratio = 5, .interval = 7, .block = 256};
  const Tuning tuning = Measured(0.03, 0.51, 0.04);
  const TuningChoice choice = ChooseBy(tuning, algorithm, compress, kLarge);
  EXPECT_EQ(choice.algo, AlgorithmKind::kCser);
  EXPECT_EQ(choice.ratio, tuning.advised_ratio);
  EXPECT_EQ(choice.delay, tuning.delay);
  ApplyChoice(choice, algorithm, compress);
  const ResolvedAlgorithm resolved = Resolve(algorithm, compress);
  EXPECT_EQ(resolved.interval, 64);  // R_C2 / R_C1 of the ratio 512
  EXPECT_EQ(compress.block, 256);    // what the user said otherwise stays
  EXPECT_EQ(compress.bucket_mb, tuning.bucket_mb);
}

TEST(TuningChoice, KeepsACompressedAlgorithm) {
  const AlgorithmOptions algorithm{.algo = AlgorithmKind::kQsparse};
  const TuningChoice choice = ChooseBy(Measured(0.03, 0.51, 0.04), algorithm, {}, kLarge);
  EXPECT_EQ(choice.algo, AlgorithmKind::kQsparse);
  EXPECT_EQ(choice.delay, 0);  // it cannot apply means late
}

TEST(TuningChoice, LowersARatioThatTheModelHasTooFewBlocksFor) {
  AlgorithmOptions algorithm;
  CompressOptions compress;
  const TuningChoice choice = ChooseBy(Measured(0.03, 0.51, 0.04), algorithm, compress, kSmall);
  EXPECT_LT(choice.ratio, 512);
  EXPECT_GT(choice.ratio, 1);
  EXPECT_THAT(choice.text, HasSubstr("too few blocks for 512"));
  ApplyChoice(choice, algorithm, compress);
  EXPECT_NO_THROW(MakeAlgorithm<float>(algorithm, compress, kSmall, 0));
  compress.ratio *= 2;
  EXPECT_THROW(MakeAlgorithm<float>(algorithm, compress, kSmall, 0), UsageError);
}

TEST(TuningChoice, ComesBackFromItsFile) {
  const TuningChoice choice = ChooseBy(Measured(0.03, 0.51, 0.04), {}, {}, kLarge);
  const TuningChoice again = ParseTuningChoice(ToJson(choice));
  EXPECT_EQ(ToJson(again), ToJson(choice));
  EXPECT_EQ(again.algo, choice.algo);
}

}  // namespace
}  // namespace orchard::sync
