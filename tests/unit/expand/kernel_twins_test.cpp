// The CPU twins of the expansion kernels: sums, closed forms and plain loops.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "expand/axis_map.h"
#include "expand/copy_divergence.h"
#include "expand/expand_matrix.h"
#include "expand/lanes.h"
#include "expand/logits_compare.h"
#include "expand/row_mean.h"

namespace orchard::expand {
namespace {

template <class T>
std::vector<T> RandomMatrix(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0, 0.02);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = Narrow<T>(static_cast<ComputeOf<T>>(normal(engine)));
  return values;
}

// A matrix, its maps, and the call.
struct Problem {
  AxisMap rows, columns;
  int64_t passengers = 1;
  bool transposed = false;
  Split split = Split::kGrid;
  PadFill pad_fill = PadFill::kNoise;
  int64_t first_unit = 0, units = 0;

  template <class T>
  std::vector<T> Expand(const std::vector<T>& source, const std::vector<T>& mean_row = {}) const {
    const ColumnTables tables = MakeColumnTables(columns.source_size(), columns.entries());
    const std::vector<int32_t> row_map(rows.entries().begin(), rows.entries().end());
    std::vector<T> target(static_cast<size_t>(rows.size() * columns.size() * passengers));
    ExpandMatrixArgs args;
    args.type = kFloatTypeOf<T>;
    args.transposed = transposed;
    args.passengers = passengers;
    args.source_rows = rows.source_size();
    args.source_columns = columns.source_size();
    args.target_rows = rows.size();
    args.target_columns = columns.size();
    args.split = split;
    args.pad_fill = pad_fill;
    args.sigma = args.pad_sigma = 0.02;
    args.key = PhiloxKey(5, 6);
    args.source = source.data();
    args.mean_row = mean_row.empty() ? nullptr : mean_row.data();
    args.rows = row_map.data();
    args.column_first = tables.first.data();
    args.column_targets = tables.targets.data();
    args.pads = tables.pads.data();
    args.pad_count = static_cast<int64_t>(tables.pads.size());
    args.most_copies = kMaxCopies;
    args.first_unit = first_unit;
    args.units = units;
    args.target = target.data();
    ExpandMatrix(args);
    return target;
  }
};

TEST(ExpandMatrix, PartsSumExactlyInBf16InBothLayouts) {
  for (const bool transposed : {false, true}) {
    const Problem problem{AxisMap::Circular(5, 8), AxisMap::Circular(7, 17), 1, transposed};
    const auto source = RandomMatrix<BFloat16>(35, 1);
    const auto target = problem.Expand(source);
    const MatrixLayout from{transposed, 5, 7, 1}, to{transposed, 8, 17, 1};
    for (int64_t i = 0; i < 8; ++i) {
      for (int64_t j = 0; j < 7; ++j) {
        double sum = 0;
        for (int64_t c = j; c < 17; c += 7) sum += Widen(target[to.At(i, c, 0)]);
        EXPECT_EQ(sum, Widen(source[from.At(i % 5, j, 0)])) << i << ' ' << j;
      }
    }
  }
}

TEST(ExpandMatrix, GivesTheBytesOfTheVectorisedSplit) {
  constexpr int64_t kColumns = 100;
  for (const Split split :
       {Split::kGrid, Split::kProjection, Split::kComplement, Split::kEqual, Split::kCancel}) {
    Problem problem{AxisMap::Identity(3), AxisMap::Circular(kColumns, 3 * kColumns)};
    problem.split = split;
    const auto source = RandomMatrix<float>(3 * kColumns, 2);
    const auto target = problem.Expand(source);
    const auto settings = MakeSplitSettings<float>(kGridF32, 0.02);
    for (int64_t i = 0; i < 3; ++i) {
      std::vector<float> parts(3 * kColumns);
      const uint64_t row = static_cast<uint64_t>(i) * 3 * kColumns;
      const uint64_t base[3] = {row, row + kColumns, row + 2 * kColumns};
      float* const to[3] = {&parts[0], &parts[kColumns], &parts[2 * kColumns]};
      SplitLanes<float>(split, settings, PhiloxKey(5, 6), 3, base, &source[i * kColumns], kColumns,
                        to);
      for (int64_t c = 0; c < 3 * kColumns; ++c) ASSERT_EQ(target[row + c], parts[c]) << c;
    }
  }
}

TEST(ExpandMatrix, ABlockOfUnitsHasTheBytesOfTheWhole) {
  for (const bool transposed : {false, true}) {
    Problem problem{AxisMap::Padded(5, 8), AxisMap::Circular(7, 17), 1, transposed};
    const auto source = RandomMatrix<BFloat16>(35, 1), mean = RandomMatrix<BFloat16>(7, 2);
    const auto whole = problem.Expand(source, mean);
    const int64_t all = transposed ? 17 : 8, width = 8 * 17 / all;
    for (const int64_t first : {int64_t{0}, int64_t{3}, all - 1}) {
      problem.first_unit = first;
      problem.units = std::min<int64_t>(4, all - first);
      const auto block = problem.Expand(source, mean);
      for (int64_t i = 0; i < problem.units * width; ++i) {
        ASSERT_EQ(block[i].bits, whole[first * width + i].bits) << transposed << ' ' << i;
      }
    }
  }
}

TEST(ExpandMatrix, CentredPaddingSumsToZeroAndPaddingRowsComeFromTheMean) {
  Problem problem{AxisMap::Padded(4, 6), AxisMap::Padded(5, 8), 2};
  problem.pad_fill = PadFill::kCentredNoise;
  const auto source = RandomMatrix<double>(40, 3), mean = RandomMatrix<double>(10, 4);
  const auto target = problem.Expand(source, mean);
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t p = 0; p < 2; ++p) {
      double sum = 0;
      for (int64_t c = 5; c < 8; ++c) sum += target[(i * 8 + c) * 2 + p];
      EXPECT_NEAR(sum, 0, 1e-16);
      for (int64_t c = 0; c < 5; ++c) {
        EXPECT_EQ(target[(i * 8 + c) * 2 + p],
                  i < 4 ? source[(i * 5 + c) * 2 + p] : mean[c * 2 + p]);
      }
    }
  }
}

RC_GTEST_PROP(ColumnTables, ListEveryTargetOnce, ()) {
  const auto source = *rc::gen::inRange<int64_t>(1, 40),
             target = *rc::gen::inRange<int64_t>(source, 200);
  const AxisMap map = AxisMap::Padded(source, target);
  const ColumnTables tables = MakeColumnTables(source, map.entries());
  std::vector<int> seen(static_cast<size_t>(target));
  for (int64_t j = 0; j < source; ++j) {
    for (int32_t k = tables.first[j]; k < tables.first[j + 1]; ++k) {
      RC_ASSERT(map[tables.targets[k]] == j);
      ++seen[tables.targets[k]];
    }
  }
  for (const int32_t c : tables.pads) ++seen[c];
  for (const int count : seen) RC_ASSERT(count == 1);
}

TEST(RowMean, AddsRowsInOrderForAnyNumberOfThreads) {
  constexpr int64_t kRows = 77, kColumns = 1300;
  const auto matrix = RandomMatrix<BFloat16>(kRows * kColumns, 5);
  const auto weights = RandomMatrix<double>(kRows, 6);
  std::vector<double> expected(kColumns), mean(kColumns);
  for (int64_t c = 0; c < kColumns; ++c) {
    for (int64_t r = 0; r < kRows; ++r) {
      expected[c] += weights[r] * static_cast<double>(Widen(matrix[r * kColumns + c]));
    }
    expected[c] = 2 * expected[c] / kRows;
  }
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    RowMean({"m", FloatType::kBF16, kRows, kColumns, 2, matrix.data(), weights.data(), mean.data()},
            pool);
    EXPECT_EQ(mean, expected);
  }
}

TEST(CopyDivergence, IsTheRelativeDistanceOfThePair) {
  const std::vector<float> matrix = {3, 4, 0, 3, 0, 0, 0, 0, 0};
  const std::vector<int64_t> first = {0, 0, 2, 1}, other = {1, 0, 2, 2};
  std::vector<double> divergence(4);
  ThreadPool pool(2);
  CopyDivergence(
      {"m", FloatType::kF32, 3, 3, 4, matrix.data(), first.data(), other.data(), divergence.data()},
      pool);
  EXPECT_EQ(divergence, (std::vector<double>{0.8, 0, 0, 1}));
}

LogitsComparison CompareRow(const std::vector<double>& a, const std::vector<double>& b) {
  LogitsComparison result;
  ThreadPool pool(1);
  LogitsCompare(
      {"logits", FloatType::kF64, 1, static_cast<int64_t>(a.size()), a.data(), b.data(), &result},
      pool);
  return result;
}

TEST(LogitsCompare, MatchesTheDefinitions) {
  std::mt19937 engine(7);
  std::normal_distribution<double> normal(0, 3);
  std::vector<double> a(200), b(200);
  for (double& x : a) x = normal(engine);
  for (size_t i = 0; i < b.size(); ++i) b[i] = a[i] + 0.1 * normal(engine);
  double sum_a = 0, sum_b = 0, kl = 0, difference = 0, largest = 0;
  for (const double x : a) sum_a += std::exp(x);
  for (const double x : b) sum_b += std::exp(x);
  for (size_t i = 0; i < a.size(); ++i) {
    kl += std::exp(a[i]) / sum_a * ((a[i] - std::log(sum_a)) - (b[i] - std::log(sum_b)));
    difference = std::max(difference, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(a[i]));
  }
  const LogitsComparison r = CompareRow(a, b);
  EXPECT_NEAR(r.kullback_leibler, kl, 1e-13);
  EXPECT_EQ(r.max_difference, difference);
  EXPECT_EQ(r.max_logit, largest);
}

TEST(LogitsCompare, EqualLogitsDifferInNothing) {
  const LogitsComparison r = CompareRow({1, -INFINITY, 3, 3}, {1, -INFINITY, 3, 3});
  EXPECT_EQ(r.max_difference, 0);
  EXPECT_EQ(r.kullback_leibler, 0);
  EXPECT_EQ(r.max_logit, 3);
  EXPECT_EQ(r.top_agrees, 1);
}

TEST(LogitsCompare, SeesAnotherTopClassAndNaN) {
  EXPECT_EQ(CompareRow({1, 2, 3}, {1, 3.5, 3}).top_agrees, 0);
  EXPECT_TRUE(std::isnan(CompareRow({1, 2, 3}, {1, NAN, 3}).max_difference));
  EXPECT_TRUE(std::isnan(CompareRow({NAN, 2, 3}, {1, 2, 3}).max_difference));
}

}  // namespace
}  // namespace orchard::expand
