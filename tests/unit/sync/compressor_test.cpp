#include "sync/compressor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "comm/simulated.h"
#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

constexpr CompressorKind kAll[] = {CompressorKind::kNone, CompressorKind::kIdentity,
                                   CompressorKind::kGrbs, CompressorKind::kRandomK,
                                   CompressorKind::kTopK, CompressorKind::kSign,
                                   CompressorKind::kInt8};

struct Exchanged {
  std::vector<std::vector<double>> before, residual, target;
  std::vector<double> sent;
  Message message;
};

// One exchange of random vectors with a target of zeros.
Exchanged Exchange(CompressorKind kind, int ranks, double ratio = 4, int64_t draw = 3) {
  static const ArenaLayout layout = SmallLayout();
  Exchanged e;
  e.before.resize(ranks);
  e.residual.resize(ranks);
  e.target.resize(ranks);
  e.sent.resize(ranks);
  comm::RunSimulated(ranks, [&](comm::Communicator& c) {
    const auto compressor =
        MakeCompressor<double>(kind, layout, {.ratio = ratio, .block = 32}, 9, "C1");
    std::vector<double> v(layout.size()), target(layout.size());
    for (const Slot& slot : layout.slots()) {
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        v[i] = Number(100 + static_cast<uint64_t>(c.rank()), i);
      }
    }
    e.before[c.rank()] = v;
    compressor->Exchange(draw, v, 1.0, target, c);
    e.residual[c.rank()] = v;
    e.target[c.rank()] = target;
    e.sent[c.rank()] = static_cast<double>(c.traffic().sent);
    if (c.rank() == 0) e.message = compressor->MessageOf(draw);
  });
  return e;
}

TEST(Compressor, KeepsTheSumOverRanksWhateverItDrops) {
  for (const CompressorKind kind : kAll) {
    for (const int ranks : {1, 2, 3, 4, 8}) {
      const Exchanged e = Exchange(kind, ranks);
      for (size_t i = 0; i < e.before[0].size(); ++i) {
        double before = 0, after = 0;
        for (int r = 0; r < ranks; ++r) {
          before += e.before[r][i];
          after += e.residual[r][i] + e.target[r][i];
          EXPECT_EQ(e.target[r][i], e.target[0][i]);
        }
        EXPECT_NEAR(before, after, 1e-13 * ranks);
      }
    }
  }
}

TEST(Compressor, SendsTheBytesOfItsFormula) {
  for (const CompressorKind kind : kAll) {
    for (const int ranks : {2, 3, 4}) {
      const Exchanged e = Exchange(kind, ranks);
      double mean = 0;
      for (const double sent : e.sent) mean += sent / ranks;
      EXPECT_NEAR(mean, BytesSent(e.message, ranks, sizeof(double)), 1e-9);
    }
  }
}

TEST(Compressor, NoneKeepsAllBackAndIdentityNothing) {
  const Exchanged none = Exchange(CompressorKind::kNone, 3);
  EXPECT_EQ(none.residual, none.before);
  EXPECT_EQ(none.target[0], std::vector<double>(none.target[0].size()));
  const Exchanged identity = Exchange(CompressorKind::kIdentity, 3);
  EXPECT_EQ(identity.residual[1], std::vector<double>(identity.residual[1].size()));
}

TEST(Compressor, TopKKeepsTheLargestOfEveryTensor) {
  const ArenaLayout layout = SmallLayout();
  const Exchanged e = Exchange(CompressorKind::kTopK, 1);
  for (const Slot& slot : layout.slots()) {
    double smallest_sent = INFINITY, largest_kept = 0;
    int64_t sent = 0;
    for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
      if (e.residual[0][i] == 0) {
        ++sent;
        smallest_sent = std::min(smallest_sent, std::abs(e.before[0][i]));
      } else {
        largest_kept = std::max(largest_kept, std::abs(e.before[0][i]));
      }
    }
    EXPECT_EQ(sent, std::llround(static_cast<double>(slot.count) / 4));
    EXPECT_GE(smallest_sent, largest_kept);
  }
}

TEST(Compressor, TheScaledSignOfATensorIsItsMeanMagnitude) {
  const ArenaLayout layout = SmallLayout();
  const Exchanged e = Exchange(CompressorKind::kSign, 1);
  for (const Slot& slot : layout.slots()) {
    double mean = 0;
    for (int64_t i = 0; i < slot.count; ++i) {
      mean += std::abs(e.before[0][slot.offset + i]) / static_cast<double>(slot.count);
    }
    for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
      EXPECT_NEAR(e.target[0][i], e.before[0][i] < 0 ? -mean : mean, 1e-14);
    }
  }
  // 1 bit per element, a number per tensor.
  EXPECT_EQ(e.message.gathered, layout.size() / 8 + 4 * 8);
}

TEST(Compressor, Int8IsWithinOneLevelAndRightOnAverage) {
  std::vector<double> error(SmallLayout().size());
  constexpr int kDraws = 400;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    const Exchanged e = Exchange(CompressorKind::kInt8, 1, 4, draw);
    for (size_t i = 0; i < error.size(); ++i) {
      EXPECT_LE(std::abs(e.residual[0][i]), 1.0 / 127 + 1e-12);
      error[i] += e.residual[0][i] / kDraws;
    }
  }
  // The rounding error of one draw is below a level, with standard deviation of at most half of
  // one.
  for (const double mean : error) EXPECT_LE(std::abs(mean), 5 * 0.5 / 127 / std::sqrt(kDraws));
}

}  // namespace
}  // namespace orchard::sync
