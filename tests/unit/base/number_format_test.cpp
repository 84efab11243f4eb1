#include "base/number_format.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace orchard {
namespace {

TEST(FormatSignificant, KeepsTrailingZeros) {
  EXPECT_EQ(FormatSignificant(0.012, 3), "0.0120");
  EXPECT_EQ(FormatSignificant(3.14159, 3), "3.14");
  EXPECT_EQ(FormatSignificant(250, 3), "250");
  EXPECT_EQ(FormatSignificant(0, 3), "0.00");
  EXPECT_EQ(FormatSignificant(-2.5, 2), "-2.5");
}

TEST(FormatSignificant, RoundsIntoTheNextDecade) {
  EXPECT_EQ(FormatSignificant(9.996, 3), "10.0");
  EXPECT_EQ(FormatSignificant(0.00099996, 3), "0.00100");
}

TEST(FormatSignificant, IsScientificAtTheEnds) {
  EXPECT_EQ(FormatSignificant(1.5e-7, 3), "1.50e-07");
  EXPECT_EQ(FormatSignificant(123456, 3), "123456");
  EXPECT_EQ(FormatSignificant(1234567, 3), "1.23e+06");
}

TEST(FormatSignificant, NamesWhatIsNotFinite) {
  EXPECT_EQ(FormatSignificant(std::nan(""), 3), "nan");
  EXPECT_EQ(FormatSignificant(std::numeric_limits<double>::infinity(), 3), "inf");
  EXPECT_EQ(FormatShortest(-std::numeric_limits<double>::infinity()), "-inf");
}

RC_GTEST_PROP(FormatSignificant, IsWithinHalfAUnitOfTheLastDigit, (double value)) {
  RC_PRE(std::isnormal(value));
  const int digits = *rc::gen::inRange(1, 17);
  const double back = std::strtod(FormatSignificant(value, digits).c_str(), nullptr);
  RC_ASSERT(std::abs(back - value) <= std::abs(value) * 0.5000001 * std::pow(10.0, 1 - digits));
}

RC_GTEST_PROP(FormatShortest, ReadsBackAsTheSameBits, (uint64_t bits)) {
  const double value = std::bit_cast<double>(bits);
  RC_PRE(std::isfinite(value));
  const double back = std::strtod(FormatShortest(value).c_str(), nullptr);
  RC_ASSERT(std::bit_cast<uint64_t>(back) == bits);
}

TEST(FormatInteger, GroupsByThree) {
  EXPECT_EQ(FormatInteger(0), "0");
  EXPECT_EQ(FormatInteger(999), "999");
  EXPECT_EQ(FormatInteger(-1000), "-1,000");
  EXPECT_EQ(FormatInteger(1234567), "1,234,567");
  EXPECT_EQ(FormatInteger(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(FormatBytes, UsesDecimalUnits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.00 kB");
  EXPECT_EQ(FormatBytes(90868376), "90.9 MB");
  EXPECT_EQ(FormatBytes(999600), "1.00 MB");  // not "1000 kB"
  EXPECT_EQ(FormatBytes(std::numeric_limits<uint64_t>::max()), "18.4 EB");
}

TEST(FormatCount, KeepsSmallCountsWhole) {
  EXPECT_EQ(FormatCount(12), "12");
  EXPECT_EQ(FormatCount(22713216), "22.7 M");
  EXPECT_EQ(FormatCount(1.5), "1.50");
}

TEST(FormatDuration, ChoosesTheUnit) {
  EXPECT_EQ(FormatDuration(0), "0 s");
  EXPECT_EQ(FormatDuration(2.5e-7), "250 ns");
  EXPECT_EQ(FormatDuration(0.00456), "4.56 ms");
  EXPECT_EQ(FormatDuration(7.891), "7.89 s");
  EXPECT_EQ(FormatDuration(59.96), "1 min 00 s");
  EXPECT_EQ(FormatDuration(185), "3 min 05 s");
  EXPECT_EQ(FormatDuration(3599.7), "1 h 00 min");
  EXPECT_EQ(FormatDuration(2 * 3600 + 7 * 60), "2 h 07 min");
  EXPECT_EQ(FormatDuration(5 * 86400 + 3 * 3600), "5 d 03 h");
  EXPECT_EQ(FormatDuration(std::nan("")), "unknown");
}

}  // namespace
}  // namespace orchard
