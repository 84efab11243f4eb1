// A checkpoint of several ranks, continued by another number of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "comm/simulated.h"
#include "sync/image_data.h"
#include "sync/rank_checkpoint.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;

constexpr int kSaved = 3;

float ModelOf(int rank, int64_t i) { return static_cast<float>(rank + 1) + 0.25f * (i % 7); }
float MomentOf(int rank, int64_t i) { return static_cast<float>((rank + 2) * (i % 5)); }

class Restart : public testing::TestWithParam<Implementation> {
 protected:
  Restart() : data_(Images(), Images(), {{0}, {1}}) {
    directory_ = fs::path(testing::TempDir()) / "restart";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    options_.impl = GetParam();
    options_.base = BaseOptimizer::kAdam;
    compress_ = {.ratio = 4, .block = 32};
  }

  static data::ImageDataset Images() {
    return data::ImageDataset(1, 2, 2, std::vector<uint8_t>(8), {0, 1});
  }
  Replica Fresh() const { return Replica(data_.MakeNetwork({.arch = "mlp:4-70-2"}, 1)); }
  std::unique_ptr<Algorithm<float>> Make(const Replica& replica) const {
    auto algorithm = MakeAlgorithm<float>(options_, compress_, replica.layout(), 1);
    algorithm->ResumeAt(0);
    return algorithm;
  }

  // What kSaved ranks leave: models and moments of their own, and where there are some, errors.
  void Save() {
    comm::RunSimulated(kSaved, [&](comm::Communicator& ranks) {
      Replica replica = Fresh();
      const auto algorithm = Make(replica);
      for (int64_t i = 0; i < replica.layout().size(); ++i) {
        replica.values()[i] = ModelOf(ranks.rank(), i);
      }
      for (const StateBuffer<float>& s : algorithm->State()) {
        for (int64_t i = 0; i < std::ssize(s.values); ++i) s.values[i] = MomentOf(ranks.rank(), i);
      }
      const AveragedModel averaged = Average(replica, algorithm.get(), ranks);
      SaveRank(RankFile(directory_, ranks.rank()), replica, *algorithm);
      if (ranks.rank() == 0) SaveAveraged(directory_ / kAveragedFile, replica, averaged);
      ranks.Barrier();
    });
  }

  ImageData data_;
  fs::path directory_;
  AlgorithmOptions options_;
  CompressOptions compress_;
};

TEST_P(Restart, BeginsWithTheMeanModelMeanMomentsAndNoError) {
  Save();
  Replica replica = Fresh();
  const auto algorithm = Make(replica);
  StartFromAverage(directory_, kSaved, replica, *algorithm);
  for (const Slot& slot : replica.layout().slots()) {
    for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
      EXPECT_FLOAT_EQ(replica.values()[i], ModelOf(1, i));  // of ranks 0, 1, 2
    }
  }
  size_t buffers = 0;
  for (const StateBuffer<float>& s : algorithm->State()) {
    ++buffers;
    const bool moment = s.name == "momentum" || s.name == "second_moment";
    for (int64_t i = 0; i < std::ssize(s.values); ++i) {
      EXPECT_FLOAT_EQ(s.values[i], moment ? MomentOf(1, i) : 0) << s.name << " " << i;
    }
  }
  EXPECT_EQ(buffers, GetParam() == Implementation::kOne ? 3u : 2u);  // I has an error
}

TEST_P(Restart, OnAsManyRanksEveryRankHasItsOwnAgain) {
  Save();
  for (int rank = 0; rank < kSaved; ++rank) {
    Replica replica = Fresh();
    const auto algorithm = Make(replica);
    LoadRank(RankFile(directory_, rank), replica, *algorithm);
    for (int64_t i = 0; i < replica.layout().size(); ++i) {
      ASSERT_EQ(replica.values()[i], ModelOf(rank, i));
    }
    for (const StateBuffer<float>& s : algorithm->State()) {
      for (int64_t i = 0; i < std::ssize(s.values); ++i) {
        ASSERT_EQ(s.values[i], MomentOf(rank, i)) << s.name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Restart, testing::Values(Implementation::kOne, Implementation::kTwo));

}  // namespace
}  // namespace orchard::sync
