#include "cli/quantity.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <optional>

namespace orchard::cli {
namespace {

std::optional<int64_t> Read(const char* text, Scale scale) {
  int64_t value = 0;
  if (ParseQuantity(text, scale, value) != QuantityStatus::kGood) return std::nullopt;
  return value;
}

QuantityStatus Status(const char* text, Scale scale) {
  int64_t value = 0;
  return ParseQuantity(text, scale, value);
}

TEST(Quantity, ReadsSizes) {
  EXPECT_EQ(Read("5GB", Scale::kBytes), 5'000'000'000);
  EXPECT_EQ(Read("1.5 gb", Scale::kBytes), 1'500'000'000);
  EXPECT_EQ(Read("512MiB", Scale::kBytes), 512 << 20);
  EXPECT_EQ(Read("1234", Scale::kBytes), 1234);
  EXPECT_EQ(Read("7B", Scale::kBytes), 7);
  EXPECT_EQ(Read("1e9", Scale::kBytes), 1'000'000'000);
}

TEST(Quantity, ReadsCounts) {
  EXPECT_EQ(Read("1.3B", Scale::kCount), 1'300'000'000);
  EXPECT_EQ(Read("350m", Scale::kCount), 350'000'000);
  EXPECT_EQ(Read("0.1K", Scale::kCount), 100);
}

TEST(Quantity, TakesPlainIntegersOnlyAsDigits) {
  EXPECT_EQ(Read("-12", Scale::kPlain), -12);
  EXPECT_EQ(Read("1e3", Scale::kPlain), std::nullopt);
  EXPECT_EQ(Read("1K", Scale::kPlain), std::nullopt);
}

TEST(Quantity, RefusesWhatIsNotWholeOrTooLarge) {
  EXPECT_EQ(Status("1.2345KB", Scale::kBytes), QuantityStatus::kNotWhole);
  EXPECT_EQ(Status("9223372036854775807", Scale::kBytes), QuantityStatus::kGood);
  EXPECT_EQ(Status("9223372036854775808", Scale::kBytes), QuantityStatus::kOutOfRange);
  EXPECT_EQ(Status("10000PB", Scale::kBytes), QuantityStatus::kOutOfRange);
  EXPECT_EQ(Status("1e99", Scale::kCount), QuantityStatus::kOutOfRange);
  for (const char* text : {"", "GB", "5XB", "5GBs", "--5", "1.2.3", "0x10", "1e", "5 G B", "."}) {
    EXPECT_EQ(Status(text, Scale::kBytes), QuantityStatus::kNotANumber) << text;
  }
}

TEST(Quantity, IsWrittenShort) {
  EXPECT_EQ(FormatQuantity(5'000'000'000, Scale::kBytes), "5GB");
  EXPECT_EQ(FormatQuantity(1'300'000'000, Scale::kCount), "1.3B");
  EXPECT_EQ(FormatQuantity(512 << 20, Scale::kBytes), "512MiB");
  EXPECT_EQ(FormatQuantity(1000, Scale::kPlain), "1000");
  EXPECT_EQ(FormatQuantity(12345, Scale::kCount), "12345");
}

RC_GTEST_PROP(Quantity, IsReadBackExactly, (int64_t value)) {
  const int64_t shifted = value >> *rc::gen::inRange(0, 63);
  for (const int64_t n : {value, shifted, shifted / 1000 * 1000, shifted / 100000 * 100000}) {
    if (n == std::numeric_limits<int64_t>::min()) continue;
    for (const Scale scale : {Scale::kPlain, Scale::kBytes, Scale::kCount}) {
      RC_ASSERT(Read(FormatQuantity(n, scale).c_str(), scale) == n);
    }
  }
}

}  // namespace
}  // namespace orchard::cli
