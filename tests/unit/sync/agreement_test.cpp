#include "sync/agreement.h"

#include <gtest/gtest.h>

namespace orchard::sync {
namespace {

constexpr const char* kText = R"(
[common]
# seed of all random numbers
seed = 3
[schedule]
lr = 0.05
milestones = [0.6, 0.8]
[]
data = abc
)";

std::string With(const std::string& from, const std::string& to) {
  std::string text = kText;
  return text.replace(text.find(from), from.size(), to);
}

TEST(FirstDisagreement, NamesTheKeyWithItsSectionAndBothValues) {
  const auto lr = FirstDisagreement(kText, With("0.05", "0.1"));
  ASSERT_TRUE(lr);
  EXPECT_EQ(lr->key, "schedule.lr");
  EXPECT_EQ(lr->first, "0.05");
  EXPECT_EQ(lr->other, "0.1");
  EXPECT_EQ(FirstDisagreement(kText, With("abc", "abd"))->key, "data");
  EXPECT_EQ(FirstDisagreement(kText, With("[0.6, 0.8]", "[0.6]"))->other, "[0.6]");
}

TEST(FirstDisagreement, TakesTheFirstOfSeveral) {
  std::string other = With("0.05", "0.1");
  other.replace(other.find("seed = 3"), 8, "seed = 4");
  EXPECT_EQ(FirstDisagreement(kText, other)->key, "common.seed");
}

TEST(FirstDisagreement, KnowsKeysThatOnlyOneHas) {
  EXPECT_EQ(FirstDisagreement(kText, With("lr = 0.05\n", ""))->other, "nothing");
  EXPECT_EQ(FirstDisagreement(With("lr = 0.05\n", ""), kText)->first, "nothing");
}

TEST(FirstDisagreement, SeesNoneInCommentsAndSpaces) {
  EXPECT_FALSE(FirstDisagreement(kText, kText));
  EXPECT_FALSE(FirstDisagreement(kText, With("# seed of all random numbers", "# a seed")));
  EXPECT_FALSE(FirstDisagreement(kText, With("lr = 0.05", "lr=0.05  ")));
}

TEST(FirstDisagreement, CutsLongValues) {
  const auto long_one = FirstDisagreement(kText, With("abc", std::string(500, 'x')));
  EXPECT_LE(long_one->other.size(), 60u);
  EXPECT_TRUE(long_one->other.ends_with("..."));
}

}  // namespace
}  // namespace orchard::sync
