#include "cli/nearest.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace orchard::cli {
namespace {

TEST(EditDistance, CountsEditsAndSwaps) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("train", "trian"), 1);
  EXPECT_EQ(EditDistance("learning_rate", "learning-rate"), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
}

RC_GTEST_PROP(EditDistance, IsSymmetricAndBoundedByTheLongerText,
              (const std::string& a, const std::string& b)) {
  const int distance = EditDistance(a, b);
  RC_ASSERT(distance == EditDistance(b, a));
  RC_ASSERT(distance <= static_cast<int>(std::max(a.size(), b.size())));
  RC_ASSERT(distance >= std::abs(static_cast<int>(a.size()) - static_cast<int>(b.size())));
}

TEST(Nearest, FindsMisspellingsAndBeginnings) {
  const std::vector<std::string> names = {"inspect", "expand", "verify", "finalize"};
  EXPECT_EQ(Nearest("inpsect", names), "inspect");
  EXPECT_EQ(Nearest("expnd", names), "expand");
  EXPECT_EQ(Nearest("fin", names), "finalize");
}

TEST(Nearest, IsEmptyWhenNothingIsClose) {
  const std::vector<std::string> names = {"inspect", "expand"};
  EXPECT_EQ(Nearest("translate", names), "");
  EXPECT_EQ(Nearest("", names), "");
  EXPECT_EQ(Nearest(std::string(100000, 'x'), names), "");
}

}  // namespace
}  // namespace orchard::cli
