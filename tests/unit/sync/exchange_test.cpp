#include "sync/exchange.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "comm/simulated.h"
#include "sync/job_ranks.h"
#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

constexpr WireFormat kAll[] = {WireFormat::kFull, WireFormat::kBf16, WireFormat::kFp16,
                               WireFormat::kInt8};

struct Summed {
  std::vector<std::vector<double>> before, sum, residual;  // per rank
  double sent = 0;                                         // mean over ranks
};

template <class F>
Summed SumOf(WireFormat format, int ranks, int64_t count, F&& value, bool async = false) {
  Summed s;
  s.before.resize(ranks);
  s.sum.resize(ranks);
  s.residual.resize(ranks);
  comm::RunSimulated(ranks, [&](comm::Communicator& c) {
    std::vector<double> v(count);
    for (int64_t i = 0; i < count; ++i) v[i] = value(c.rank(), i);
    s.before[c.rank()] = v;
    Exchange<double> exchange;
    exchange.Start(v, c, {format, async, 5}, 77);
    exchange.Continue();
    exchange.Finish();
    s.sum[c.rank()] = v;
    s.residual[c.rank()].assign(exchange.residual().begin(), exchange.residual().end());
    s.residual[c.rank()].resize(count);
    s.sent += static_cast<double>(c.traffic().sent) / c.size();
  });
  return s;
}

double Random(int rank, int64_t i) { return Number(50 + static_cast<uint64_t>(rank), i); }

TEST(Exchange, WhatDoesNotArriveStaysInTheResiduals) {
  for (const WireFormat format : kAll) {
    for (const int ranks : {1, 2, 3, 4, 8}) {
      for (const int64_t count : {1, 7, 1000, 5000}) {
        const Summed s = SumOf(format, ranks, count, Random);
        for (int64_t i = 0; i < count; ++i) {
          double before = 0, after = s.sum[0][i];
          for (int r = 0; r < ranks; ++r) {
            before += s.before[r][i];
            after += s.residual[r][i];
            ASSERT_EQ(s.sum[r][i], s.sum[0][i]);
          }
          ASSERT_NEAR(after, before, format == WireFormat::kFull ? 1e-14 : 1e-6);
        }
      }
    }
  }
}

TEST(Exchange, SendsTheBytesOfItsFormula) {
  for (const WireFormat format : kAll) {
    for (const int ranks : {1, 2, 3, 4, 8}) {
      for (const int64_t count : {1, 7, 5000}) {
        const double planned =
            BytesSent(ExchangeMessage(format, count, ranks), ranks, sizeof(double));
        EXPECT_NEAR(SumOf(format, ranks, count, Random).sent, planned, 1e-9) << ranks << count;
      }
    }
  }
}

TEST(Exchange, AtOnceAndBesideGiveTheSameBits) {
  for (const WireFormat format : kAll) {
    const Summed a = SumOf(format, 3, 4000, Random), b = SumOf(format, 3, 4000, Random, true);
    EXPECT_EQ(a.sum, b.sum);
    EXPECT_EQ(a.residual, b.residual);
  }
}

// What a rank keeps back is at most half of the last place of what it sends, and what the chunk's
// owner keeps besides.
TEST(Exchange, ResidualsAreAsSmallAsTheFormatAllows) {
  const auto largest = [](WireFormat format) {
    const Summed s = SumOf(format, 2, 4096, Random);
    double residual = 0;
    for (int r = 0; r < 2; ++r) {
      for (const double v : s.residual[r]) residual = std::max(residual, std::abs(v));
    }
    return residual;
  };
  EXPECT_LT(largest(WireFormat::kBf16), std::exp2(-9) + std::exp2(-8));
  EXPECT_LT(largest(WireFormat::kFp16), std::exp2(-12) + std::exp2(-11));
  EXPECT_LT(largest(WireFormat::kInt8), std::exp2(-6) + std::exp2(-5));  // units of 1/64 and 1/32
  EXPECT_GT(largest(WireFormat::kInt8), std::exp2(-8));
}

TEST(Exchange, RandomRoundingIsRightOnAverage) {
  const Summed s = SumOf(WireFormat::kInt8, 2, 1 << 16, [](int, int64_t i) {
    return i % 1024 == 0 ? 1.0 : 0.003;  // a fifth of a unit
  });
  double mean = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < 1 << 16; ++i) {
    if (i % 1024 == 0) continue;
    mean += s.sum[0][i];
    ++count;
  }
  EXPECT_NEAR(mean / static_cast<double>(count), 0.006, 0.0004);
}

TEST(Exchange, LargeNumbersAreClippedNotInfinite) {
  const Summed s = SumOf(WireFormat::kFp16, 4, 10, [](int, int64_t) { return 60000.0; });
  EXPECT_EQ(s.sum[0][3], 65504);
  double residual = 0;
  for (int r = 0; r < 4; ++r) residual += s.residual[r][3];
  EXPECT_NEAR(residual, 4 * 60000.0 - 65504, 1e-3);
}

TEST(Exchange, NotANumberArrivesAsOne) {
  for (const WireFormat format : {WireFormat::kBf16, WireFormat::kInt8}) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      const Summed s = SumOf(
          format, 2, 3000, [&](int rank, int64_t i) { return rank == 1 && i == 2000 ? bad : 0.5; });
      EXPECT_FALSE(std::isfinite(s.sum[0][2000]));
      EXPECT_EQ(s.sum[0][100], 1.0);
    }
  }
}

// ---- nodes

// What three nodes of two ranks do is what three ranks do, when the ranks of a node hold the same.
TEST(NodeCommunicator, IsAJobOfItsNodes) {
  const auto exercise = [](comm::Communicator& nodes, std::vector<double>& log) {
    for (const WireFormat format : kAll) {
      std::vector<double> v(1000);
      for (int64_t i = 0; i < 1000; ++i) v[i] = Random(nodes.rank(), i);
      Exchange<double> exchange;
      exchange.Start(v, nodes, {format, false, 5}, 3);
      exchange.Continue();
      exchange.Finish();
      log.insert(log.end(), v.begin(), v.end());
    }
    std::vector<double> value = {static_cast<double>(nodes.rank())};
    nodes.Broadcast(std::span<double>(value), 2);
    log.push_back(value[0]);
    nodes.Barrier();
  };
  std::vector<std::vector<double>> flat(3), nodes(6);
  comm::RunSimulated(3, [&](comm::Communicator& c) { exercise(c, flat[c.rank()]); });
  comm::RunSimulated(6, [&](comm::Communicator& c) {
    JobRanks ranks(c, 2);
    EXPECT_EQ(ranks.algorithm().size(), 3);
    exercise(ranks.algorithm(), nodes[c.rank()]);
    EXPECT_GT(ranks.traffic().sent + ranks.traffic().received, 0);
    EXPECT_GT(ranks.sent_in_node(), 0);
  });
  for (int r = 0; r < 6; ++r) EXPECT_EQ(nodes[r], flat[r / 2]);
}

TEST(NodeCommunicator, RanksOfANodeShareTheWireBetweenNodes) {
  std::vector<int64_t> sent(6);
  comm::RunSimulated(6, [&](comm::Communicator& c) {
    JobRanks ranks(c, 2);
    std::vector<float> v(900, 1.0f);
    ranks.algorithm().AllReduce(std::span<float>(v));
    EXPECT_EQ(v[5], 3.0f);
    sent[c.rank()] = ranks.traffic().sent;
  });
  for (const int64_t s : sent) EXPECT_EQ(s, 2 * 2 * 450 * 4 / 3);  // 2 (n-1)/n of half
}

TEST(NodeCommunicator, AveragesGradientsInTheNode) {
  comm::RunSimulated(4, [](comm::Communicator& c) {
    JobRanks ranks(c, 2);
    std::vector<float> g(10, static_cast<float>(c.rank()));
    ranks.AverageInNode(g);
    EXPECT_EQ(g[7], c.rank() < 2 ? 0.5f : 2.5f);
    EXPECT_THROW(JobRanks(c, 3), UsageError);
  });
}

TEST(WaitMeter, TheLastToComeHardlyWaits) {
  comm::RunSimulated(3, [](comm::Communicator& c) {
    WaitMeter meter;
    meter.Add(c.rank() == 0 ? 5 : 2);
    meter.Add(c.rank() == 1 ? 1 : 3);
    const WaitMeter::Split split = meter.Take(c);
    EXPECT_DOUBLE_EQ(split.wire, 2 + 1);
    EXPECT_DOUBLE_EQ(split.wait, c.rank() == 0 ? 3 + 2 : c.rank() == 1 ? 0 : 2);
    EXPECT_DOUBLE_EQ(meter.Take(c).wire, 0);
  });
}

}  // namespace
}  // namespace orchard::sync
