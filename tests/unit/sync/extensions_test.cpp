// What goes beyond the paper keeps what holds in it: late means, errors held back, narrow wires,
// other optimisers, changing ratios.
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

using K = AlgorithmKind;
using B = BaseOptimizer;
using W = WireFormat;

Quadratic Problem(K kind, int ranks = 4) {
  Quadratic q;
  q.algorithm.algo = kind;
  q.compress.ratio = 8;
  q.compress.block = 32;
  q.ranks = ranks;
  q.noise = 0.3;
  return q;
}

struct Case {
  std::string name;
  Quadratic problem;
};

// Every extension of error reset.
std::vector<Case> Extensions(int ranks) {
  std::vector<Case> cases;
  const auto add = [&](std::string name, K kind, auto&& change) {
    Case c{std::move(name), Problem(kind, ranks)};
    change(c.problem);
    cases.push_back(std::move(c));
  };
  for (const int64_t delay : {1, 3, 10}) {
    const std::string text = "delay " + std::to_string(delay);
    for (const K kind : {K::kCser, K::kCsea, K::kCserPl, K::kLocalSgd}) {
      add(text, kind, [&](Quadratic& q) { q.compress.delay = delay; });
    }
  }
  add("sparta", K::kSparta, [](Quadratic&) {});
  for (const double theta : {0.0, 0.25, 0.5}) {
    const std::string text = "theta " + std::to_string(theta);
    add(text, K::kCser, [&](Quadratic& q) { q.compress.theta = theta; });
    add(text, K::kCsea, [&](Quadratic& q) { q.compress.theta = theta; });
    add(text + " and delay", K::kCser, [&](Quadratic& q) {
      q.compress.theta = theta;
      q.compress.delay = 2;
    });
  }
  for (const W wire : {W::kBf16, W::kFp16, W::kInt8}) {
    const std::string text = "wire " + std::to_string(static_cast<int>(wire));
    for (const K kind : {K::kCser, K::kCsea, K::kLocalSgd}) {
      add(text, kind, [&](Quadratic& q) { q.compress.wire = wire; });
    }
    add(text + ", delay and theta", K::kCser, [&](Quadratic& q) {
      q.compress.wire = wire;
      q.compress.delay = 3;
      q.compress.theta = 0.5;
    });
  }
  for (const B base : {B::kAdam, B::kAdamW, B::kLamb, B::kLion}) {
    const std::string text = "base " + std::to_string(static_cast<int>(base));
    for (const K kind : {K::kCser, K::kCsea, K::kLocalSgd}) {
      add(text, kind, [&](Quadratic& q) { q.algorithm.base = base; });
    }
    add(text + ", impl 1", K::kCser, [&](Quadratic& q) {
      q.algorithm.base = base;
      q.algorithm.impl = Implementation::kOne;
    });
    add(text + ", top-k", K::kCser, [&](Quadratic& q) {
      q.algorithm.base = base;
      q.compress.c1 = CompressorKind::kTopK;
    });
  }
  add("growing ratio", K::kCser, [](Quadratic& q) {
    q.stages = {{1, 0}, {6, 1}, {17, 2}, {30, 4}};
  });
  return cases;
}

TEST(Extensions, TheMeanModelMovesByTheMeanStep) {
  const ArenaLayout layout = SmallLayout();
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const Case& c : Extensions(ranks)) {
      const auto out = Minimise<double>(layout, c.problem);
      // Error feedback (theta = 0) diverges on this problem: rounding grows with the numbers.
      double largest = 0, scale = 1;
      for (int64_t t = 1; t <= c.problem.steps; ++t) {
        for (int64_t i = 0; i < layout.size(); ++i) {
          scale = std::max(scale, std::abs(out.mean_values[t][i]));
          const double expected = out.mean_values[t - 1][i] - out.mean_steps[t - 1][i];
          largest = std::max(largest, std::abs(out.mean_values[t][i] - expected));
        }
      }
      // Narrow messages are added up in f32.
      EXPECT_LT(largest / scale, c.problem.compress.wire == W::kFull ? 1e-13 : 1e-6)
          << c.name << ", " << NameOf(c.problem.algorithm.algo) << ", " << ranks << " ranks";
    }
  }
}

TEST(Extensions, ModelsWithoutTheirErrorsAreTheSame) {
  const ArenaLayout layout = SmallLayout();
  for (const int ranks : {2, 3, 4, 8}) {
    for (const Case& c : Extensions(ranks)) {
      const auto out = Minimise<double>(layout, c.problem);
      if (out.errors[0].empty()) continue;
      for (int r = 1; r < ranks; ++r) {
        EXPECT_LT(LargestDifference(out.common_parts[r], out.common_parts[0]), 1e-12)
            << c.name << ", " << NameOf(c.problem.algorithm.algo) << ", " << ranks << " ranks";
      }
      EXPECT_GT(LargestDifference(out.errors[1], std::vector<double>(layout.size())), 1e-3);
    }
  }
}

TEST(Extensions, BytesAreThoseOfTheFormulas) {
  const ArenaLayout layout = SmallLayout();
  for (const int ranks : {1, 2, 3, 4, 8}) {
    std::vector<Case> cases = Extensions(ranks);
    for (const K kind : {K::kSgd, K::kEfSgd, K::kRandomKEf, K::kQsparse}) {
      for (const W wire : {W::kBf16, W::kInt8}) {
        cases.push_back({"wire", Problem(kind, ranks)});
        cases.back().problem.compress.wire = wire;
        cases.back().problem.compress.bucket_mb = 1e-3;
      }
    }
    for (const Case& c : cases) {
      const auto out = Minimise<float>(layout, c.problem);
      double mean = 0;
      for (const double sent : out.sent) mean += sent / ranks;
      EXPECT_NEAR(mean, out.planned, 1e-6 * out.planned)
          << c.name << ", " << NameOf(c.problem.algorithm.algo) << ", " << ranks << " ranks";
    }
  }
}

// One objective, no noise: all ranks do the same whatever is late, left out or held back... but not
// what is rounded at random.
TEST(Extensions, AreGradientDescentOnOneObjective) {
  const ArenaLayout layout = SmallLayout();
  for (const B base : {B::kSgd, B::kAdam, B::kAdamW, B::kLamb, B::kLion}) {
    const auto run = [&](K kind, auto&& change) {
      Quadratic q = Problem(kind);
      q.spread = q.noise = 0;
      q.algorithm.base = base;
      change(q);
      return Minimise<double>(layout, q).values[2];
    };
    const auto plain = [](Quadratic&) {};
    const std::vector<double> descent = run(K::kSgd, plain);
    for (const K kind : {K::kCser, K::kCsea, K::kCserPl, K::kSparta, K::kLocalSgd}) {
      EXPECT_LT(LargestDifference(run(kind, plain), descent), 1e-12) << NameOf(kind);
      EXPECT_LT(LargestDifference(run(kind, [](Quadratic& q) { q.compress.delay = 4; }), descent),
                1e-12);
    }
    // Error feedback is not: theta = 0 holds steps back.
    EXPECT_GT(LargestDifference(run(K::kCser, [](Quadratic& q) { q.compress.theta = 0; }), descent),
              1e-3);
  }
}

TEST(Extensions, OneRankIsItsOwnOptimiser) {
  const ArenaLayout layout = SmallLayout();
  for (const B base : {B::kSgd, B::kAdam, B::kAdamW, B::kLamb, B::kLion}) {
    const auto run = [&](K kind, auto&& change) {
      Quadratic q = Problem(kind, 1);
      q.algorithm.base = base;
      change(q);
      return Minimise<double>(layout, q).mean_values.back();
    };
    const auto plain = [](Quadratic&) {};
    const std::vector<double> alone = run(K::kSgd, plain);
    for (const K kind : {K::kCser, K::kCsea, K::kCserPl, K::kSparta, K::kLocalSgd}) {
      EXPECT_LT(LargestDifference(run(kind, plain), alone), 1e-12) << NameOf(kind);
      EXPECT_LT(LargestDifference(run(kind, [](Quadratic& q) { q.compress.delay = 3; }), alone),
                1e-12);
    }
  }
}

// ---- bits

std::vector<Case> AllKinds() {
  std::vector<Case> cases = Extensions(3);
  for (const auto& kind : kAlgorithmKindNames) cases.push_back({"plain", Problem(kind.value, 3)});
  for (const K kind : {K::kSgd, K::kEfSgd, K::kQsparse}) {
    for (const W wire : {W::kBf16, W::kInt8}) {
      cases.push_back({"wire", Problem(kind, 3)});
      cases.back().problem.compress.wire = wire;
    }
  }
  return cases;
}

TEST(Streaming, GivesTheBitsOfAStepAtOnce) {
  const ArenaLayout layout = SmallLayout();
  for (Case& c : AllKinds()) {
    for (const double bucket : {4.0, 1e-3, 1e-9}) {
      c.problem.steps = 20;
      c.problem.compress.bucket_mb = bucket;
      c.problem.compress.overlap = false;
      c.problem.streamed = false;
      const auto at_once = Minimise<float>(layout, c.problem);
      c.problem.compress.overlap = true;
      c.problem.streamed = true;
      const auto streamed = Minimise<float>(layout, c.problem);
      EXPECT_EQ(streamed.values, at_once.values) << c.name;
      EXPECT_EQ(streamed.errors, at_once.errors) << c.name;
      EXPECT_EQ(streamed.sent, at_once.sent) << c.name;
    }
  }
}

// Full messages do not depend on how they are cut.
TEST(Streaming, BucketsDoNotChangeFullMessages) {
  const ArenaLayout layout = SmallLayout();
  for (Case& c : AllKinds()) {
    if (c.problem.compress.wire != W::kFull) continue;
    const auto whole = Minimise<float>(layout, c.problem);
    c.problem.compress.bucket_mb = 1e-9;
    EXPECT_EQ(Minimise<float>(layout, c.problem).values, whole.values) << c.name;
  }
}

// The state of a run that stops after `stop` steps continues to the same bits.
TEST(Resume, GoesOnToTheSameBits) {
  const ArenaLayout layout = SmallLayout();
  constexpr int64_t kStop = 13, kSteps = 25;
  const auto steps = [&](Algorithm<float>& algorithm, FlatBuffer<float>& x, int64_t from,
                         int64_t to, comm::Communicator& ranks) {
    FlatBuffer<float> gradient(layout.size());
    for (int64_t t = from; t <= to; ++t) {
      for (const Slot& slot : layout.slots()) {
        for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
          gradient.data()[i] = static_cast<float>(
              Curvature(i) * (x.data()[i] - Minimum(i, ranks.rank(), 1)) +
              0.3 * Number(1000 + static_cast<uint64_t>(t), i * 64 + ranks.rank()));
        }
      }
      algorithm.Step({.step = t,
                      .learning_rate = 0.05,
                      .values = x.span(),
                      .gradient = gradient.span(),
                      .ranks = ranks});
    }
  };
  for (const Case& c : AllKinds()) {
    comm::RunSimulated(3, [&](comm::Communicator& ranks) {
      const auto make = [&] {
        return MakeAlgorithm<float>(c.problem.algorithm, c.problem.compress, layout, 3,
                                    c.problem.stages);
      };
      const auto whole = make(), first = make(), second = make();
      FlatBuffer<float> x(layout.size()), y(layout.size());
      whole->Begin(x.span());
      first->Begin(y.span());
      steps(*whole, x, 1, kSteps, ranks);
      steps(*first, y, 1, kStop, ranks);
      second->Begin(x.span());  // whatever it holds
      second->ResumeAt(kStop);
      const auto from = first->State(), to = second->State();
      ASSERT_EQ(from.size(), to.size()) << c.name;
      for (size_t i = 0; i < from.size(); ++i) {
        ASSERT_EQ(from[i].name, to[i].name);
        ASSERT_EQ(from[i].values.size(), to[i].values.size()) << c.name << from[i].name;
        std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
      }
      steps(*second, y, kStop + 1, kSteps, ranks);
      EXPECT_TRUE(std::equal(x.span().begin(), x.span().end(), y.span().begin()))
          << c.name << ", " << NameOf(c.problem.algorithm.algo);
    });
  }
}

// ---- options that do not fit

TEST(Resolve, RefusesWhatAnAlgorithmCannotFollow) {
  const auto refuses = [](AlgorithmOptions a, CompressOptions c) {
    EXPECT_THROW(Resolve(a, c), UsageError);
  };
  refuses({.algo = K::kEfSgd, .base = B::kAdam}, {});
  refuses({.algo = K::kPowerSgd}, {.wire = W::kBf16});
  refuses({.algo = K::kTopKEf}, {.wire = W::kBf16});
  refuses({.algo = K::kQsparse}, {.delay = 1});
  refuses({.algo = K::kEfSgd}, {.theta = 0.5});
  refuses({.algo = K::kDgc}, {.ratio_growth = 4});
  refuses({.algo = K::kCser, .impl = Implementation::kTwo}, {.wire = W::kInt8});
  refuses({.algo = K::kCser, .impl = Implementation::kTwo}, {.delay = 2});
  refuses({.algo = K::kCser}, {.c1 = CompressorKind::kTopK, .delay = 2});
  EXPECT_EQ(Resolve({}, {.wire = W::kBf16}).implementation, 1);
  EXPECT_EQ(Resolve({.algo = K::kSparta}, {}).delay, 1);
}

// ---- the ratio over a run

TEST(Stages, FollowTheLearningRateFromItsPeakOn) {
  const auto rate = [](int64_t t) { return t < 5 ? 0.02 * static_cast<double>(t) : 1.0 / t; };
  // Peak 0.2 at step 5; half of it at step 10, a quarter at step 20.
  EXPECT_EQ(StagesOf(rate, 100, 0, 1), RatioStages{});
  EXPECT_EQ(StagesOf(rate, 100, 0, 4), (RatioStages{{10, 2}, {20, 4}}));
  EXPECT_EQ(StagesOf(rate, 15, 3, 16), (RatioStages{{1, 0}, {4, 1}, {10, 2}}));
}

TEST(Stages, SendTheRatioOfTheirSteps) {
  const ArenaLayout layout({{"w", {1 << 15}}});
  const CompressOptions compress = {.ratio = 8, .block = 32};
  const auto made = MakeAlgorithm<float>({.algo = K::kCsea}, compress, layout, 1,
                                         {{1, 0}, {3, 1}, {5, 4}, {7, 1e9}});
  EXPECT_EQ(made->MessageOf(2, 4).reduced, 1 << 15);
  EXPECT_EQ(made->MessageOf(3, 4).reduced, 1 << 12);
  EXPECT_EQ(made->MessageOf(5, 4).reduced, 1 << 10);
  EXPECT_EQ(made->MessageOf(7, 4).reduced, 64);  // two blocks: half of all is the largest ratio
}

}  // namespace
}  // namespace orchard::sync
