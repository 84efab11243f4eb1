#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <sstream>

#include "base/error.h"
#include "data/synthetic_shapes.h"
#include "data/synthetic_text.h"

namespace orchard::data {
namespace {

TEST(SyntheticText, IsAFunctionOfTheSeedAndGrowsAtItsEnd) {
  const std::string shorter = SyntheticText({.characters = 20000}, 1);
  const std::string longer = SyntheticText({.characters = 50000}, 1);
  EXPECT_GE(shorter.size(), 20000u);
  EXPECT_LT(shorter.size(), 21500u);
  EXPECT_TRUE(longer.starts_with(shorter));
  EXPECT_NE(SyntheticText({.characters = 20000}, 2), shorter);
}

TEST(SyntheticText, ClosesEveryBracketInOrderAndNestsSeveralDeep) {
  std::string open;
  size_t deepest = 0;
  for (const char c : SyntheticText({.characters = 300000}, 3)) {
    const std::string_view opening = "([{<", closing = ")]}>";
    if (opening.find(c) != std::string_view::npos) open += c;
    deepest = std::max(deepest, open.size());
    const size_t kind = closing.find(c);
    if (kind != std::string_view::npos) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(open.back(), opening[kind]);
      open.pop_back();
    }
    if (c == '\n') {
      ASSERT_TRUE(open.empty());
    }
  }
  EXPECT_GE(deepest, 3u);
}

// The value of the group that begins at text[at], which is left behind its closing mark.
int Evaluate(const std::string& text, size_t& at) {
  int total = 0;
  while (text[at] != '=') {
    ++at;  // '<' or '+'
    total += text[at] == '<' ? Evaluate(text, at) : text[at++] - '0';
  }
  const int written = text[at + 1] - '0';
  EXPECT_EQ(written, total % 10) << text.substr(at > 20 ? at - 20 : 0, 30);
  at += 3;  // '=', the digit and '>'
  return written;
}

TEST(SyntheticText, WritesSumsThatAreRight) {
  const std::string text = SyntheticText({.characters = 200000}, 4);
  int sums = 0;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    Evaluate(text, at);
    ++sums;
  }
  EXPECT_GT(sums, 100);
}

// Without anything in between, a noun and the verb after it agree: exactly one of them carries its
// ending.
TEST(SyntheticText, VerbsAgreeWithTheirNouns) {
  std::istringstream lines(SyntheticText({.characters = 300000}, 5));
  int singular = 0, plural = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.size() - 1));
    std::vector<std::string> list(std::istream_iterator<std::string>(words), {});
    if (list.size() != 3) continue;  // "the noun verb"
    const bool noun_ends = list[1].ends_with('s'), verb_ends = list[2].ends_with("ts");
    ASSERT_NE(noun_ends, verb_ends) << line;
    (noun_ends ? plural : singular) += 1;
  }
  EXPECT_GT(singular, 50);
  EXPECT_GT(plural, 50);
}

TEST(SyntheticShapes, IsAFunctionOfSeedAndNumber) {
  const ImageDataset all = SyntheticShapes({.count = 40}, 7);
  const ImageDataset tail = SyntheticShapes({.count = 10, .first = 30}, 7);
  EXPECT_EQ(all.classes(), 10);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(std::ranges::equal(all.Image(30 + i), tail.Image(i)));
    EXPECT_EQ(all.Label(30 + i), tail.Label(i));
  }
  EXPECT_FALSE(std::ranges::equal(SyntheticShapes({.count = 1}, 8).Image(0), all.Image(0)));
}

// A classifier that compares with the class means must beat chance clearly, yet be far from
// perfect: learnable and not trivial.
TEST(SyntheticShapes, NearestMeanLearnsSomethingButNotAll) {
  const ImageDataset train = SyntheticShapes({.count = 2000}, 1);
  const ImageDataset test = SyntheticShapes({.count = 1000, .first = 2000}, 1);
  std::vector<std::vector<double>> means(10, std::vector<double>(256));
  for (int64_t i = 0; i < train.size(); ++i) {
    for (size_t p = 0; p < 256; ++p) means[train.Label(i)][p] += train.Image(i)[p] / 200.0;
  }
  int right = 0;
  for (int64_t i = 0; i < test.size(); ++i) {
    double best = INFINITY;
    int32_t guess = -1;
    for (int32_t k = 0; k < 10; ++k) {
      double distance = 0;
      for (size_t p = 0; p < 256; ++p) distance += std::pow(test.Image(i)[p] - means[k][p], 2);
      if (distance < best) {
        best = distance;
        guess = k;
      }
    }
    right += guess == test.Label(i);
  }
  EXPECT_GT(right, 200);
  EXPECT_LT(right, 800);
}

}  // namespace
}  // namespace orchard::data
