// Every kernel of cuda/expand against its CPU twin on the same input.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "cuda/expand/copy_divergence.h"
#include "cuda/expand/expand_matrix.h"
#include "cuda/expand/logits_compare.h"
#include "cuda/expand/row_mean.h"
#include "expand/axis_map.h"
#include "gpu/device_array.h"
#include "unit/nn/buffers.h"

namespace orchard::expand {
namespace {

using gpu::DeviceArray;
using nn::RandomBuffer;

template <class T>
class ExpandKernels : public gpu::DeviceTest {};
using StoredTypes = ::testing::Types<float, double, BFloat16, Float16>;
TYPED_TEST_SUITE(ExpandKernels, StoredTypes);

struct MatrixCase {
  AxisMap rows, columns;
  int64_t passengers;
  bool transposed;
  PadFill pad_fill;
};

std::vector<MatrixCase> MatrixCases() {
  const auto circular = AxisMap::Circular;
  const auto padded = AxisMap::Padded;
  return {// groups of eight, all of them neighbours: two copies, one to two, three to four
          {circular(48, 96), circular(64, 128), 1, false, PadFill::kNoise},
          {circular(48, 96), circular(64, 96), 1, false, PadFill::kNoise},
          {circular(9, 20), circular(64, 216), 1, false, PadFill::kNoise},
          // heads of eight, in groups: copies of a head follow one another
          {circular(4, 8), AxisMap::Blocks(AxisMap(4, {0, 0, 1, 1, 2, 2, 3, 3, 0, 2}), 8), 1, false,
           PadFill::kNoise},
          // groups of four, and some where a copy ends inside a group
          {padded(12, 20), circular(36, 68), 1, false, PadFill::kNoise},
          {padded(12, 20), padded(36, 68), 1, false, PadFill::kCentredNoise},
          {circular(6, 12), circular(40, 88 + 16), 1, false, PadFill::kNoise},
          {circular(6, 12), circular(24, 64), 1, false, PadFill::kNoise},
          // no groups: odd sizes, passengers, five copies and more
          {padded(48, 83), padded(60, 101), 1, false, PadFill::kCentredNoise},
          {circular(5, 9), padded(7, 30), 9, false, PadFill::kNoise},
          {circular(8, 16), circular(8, 64), 1, false, PadFill::kNoise},
          // transposed
          {circular(64, 128), circular(20, 40), 1, true, PadFill::kZero},
          {padded(40, 100), padded(20, 47), 1, true, PadFill::kCentredNoise},
          {padded(33, 70), circular(20, 190), 1, true, PadFill::kZero},
          {padded(33, 70), padded(20, 47), 1, true, PadFill::kCentredNoise},
          {AxisMap::Identity(64), AxisMap::Identity(64), 1, false, PadFill::kZero}};
}

// Only units [first, first + units) when `units` is not 0.
template <class T>
void CompareMatrix(const MatrixCase& c, Split split, int64_t first = 0, int64_t units = 0) {
  auto source =
      RandomBuffer<T>(c.rows.source_size() * c.columns.source_size() * c.passengers, 1, 0, 0.02);
  const auto mean = RandomBuffer<T>(c.columns.source_size() * c.passengers, 2, 0, 0.02);
  // Weights that the grid treats apart: zeros, what is not finite, and what is almost too large.
  source[3] = Narrow<T>(ComputeOf<T>(0));
  source[5] = Narrow<T>(-ComputeOf<T>(0));
  source[7] = Narrow<T>(std::numeric_limits<ComputeOf<T>>::infinity());
  source[11] = Narrow<T>(ComputeOf<T>(kFloatTypeOf<T> == FloatType::kF16 ? 6e4 : 3e38));
  const ColumnTables tables = MakeColumnTables(c.columns.source_size(), c.columns.entries());
  const std::vector<int32_t> rows(c.rows.entries().begin(), c.rows.entries().end());
  const int64_t all = c.transposed ? c.columns.size() : c.rows.size();
  const int64_t count =
      c.rows.size() * c.columns.size() * c.passengers / all * (units == 0 ? all : units);
  std::vector<T> target(static_cast<size_t>(count));
  ExpandMatrixArgs args;
  args.type = kFloatTypeOf<T>;
  args.transposed = c.transposed;
  args.passengers = c.passengers;
  args.source_rows = c.rows.source_size();
  args.source_columns = c.columns.source_size();
  args.target_rows = c.rows.size();
  args.target_columns = c.columns.size();
  args.split = split;
  args.pad_fill = c.pad_fill;
  args.sigma = args.pad_sigma = 0.02;
  args.key = PhiloxKey(8, 9);
  args.source = source.data();
  args.mean_row = mean.data();
  args.rows = rows.data();
  args.column_first = tables.first.data();
  args.column_targets = tables.targets.data();
  args.pads = tables.pads.data();
  args.pad_count = static_cast<int64_t>(tables.pads.size());
  for (const int64_t copies : c.columns.copies()) {
    args.most_copies = std::max(args.most_copies, static_cast<int32_t>(copies));
  }
  args.first_unit = first;
  args.units = units;
  args.target = target.data();
  ExpandMatrix(args);
  DeviceArray<T> gsource(source), gmean(mean), gtarget(count);
  DeviceArray<int32_t> grows(rows), gfirst(tables.first), gtargets(tables.targets),
      gpads(tables.pads);
  args.source = gsource.data();
  args.mean_row = gmean.data();
  args.rows = grows.data();
  args.column_first = gfirst.data();
  args.column_targets = gtargets.data();
  args.pads = gpads.data();
  args.target = gtarget.data();
  cuda::ExpandMatrix(args, nullptr);
  const std::vector<T> got = gtarget.Host();
  int64_t different = 0, at = 0;
  for (int64_t i = count - 1; i >= 0; --i) {
    if (std::memcmp(&got[i], &target[i], sizeof(T)) != 0) ++different, at = i;
  }
  EXPECT_EQ(different, 0) << "of " << count << ", split " << static_cast<int>(split)
                          << ", first at " << at << " (" << Widen(got[at]) << " for "
                          << Widen(target[at]) << "), " << c.rows.source_size() << "x"
                          << c.columns.source_size() << " to " << c.rows.size() << "x"
                          << c.columns.size() << (c.transposed ? ", transposed" : "");
}

constexpr Split kSplits[] = {Split::kGrid,  Split::kProjection, Split::kComplement,
                             Split::kEqual, Split::kCancel,     Split::kPairs};

TYPED_TEST(ExpandKernels, ExpandMatrixGivesTheBitsOfItsTwin) {
  for (const MatrixCase& c : MatrixCases()) {
    for (const Split split : kSplits) CompareMatrix<TypeParam>(c, split);
  }
}

TYPED_TEST(ExpandKernels, ExpandMatrixGivesTheBitsOfItsTwinForABlockOfUnits) {
  for (const MatrixCase& c : MatrixCases()) {
    const int64_t all = c.transposed ? c.columns.size() : c.rows.size();
    CompareMatrix<TypeParam>(c, Split::kGrid, all / 3, all / 2);
    CompareMatrix<TypeParam>(c, Split::kGrid, all - 1, 1);
  }
}

TYPED_TEST(ExpandKernels, RowMeanGivesTheBitsOfItsTwin) {
  using T = TypeParam;
  ThreadPool pool(2);
  for (const int64_t columns : {1, 100, 4099}) {
    constexpr int64_t kRows = 77;
    const auto matrix = RandomBuffer<T>(kRows * columns, 3), weights64 = RandomBuffer<T>(kRows, 4);
    const std::vector<double> weights = nn::Values(weights64);
    std::vector<double> mean(static_cast<size_t>(columns));
    RowMeanArgs args{"m", kFloatTypeOf<T>, kRows,          columns,
                     1.5, matrix.data(),   weights.data(), mean.data()};
    RowMean(args, pool);
    DeviceArray<T> gmatrix(matrix);
    DeviceArray<double> gweights(weights), gmean(columns);
    args.matrix = gmatrix.data();
    args.weights = gweights.data();
    args.mean = gmean.data();
    cuda::RowMean(args, nullptr);
    EXPECT_EQ(gmean.Host(), mean) << columns << " columns";
  }
}

TYPED_TEST(ExpandKernels, CopyDivergenceMatchesItsTwin) {
  using T = TypeParam;
  ThreadPool pool(2);
  for (const int64_t columns : {1, 65, 4096}) {
    constexpr int64_t kRows = 40, kPairs = 20;
    const auto matrix = RandomBuffer<T>(kRows * columns, 5);
    std::vector<int64_t> first(kPairs), other(kPairs);
    for (int64_t p = 0; p < kPairs; ++p) first[p] = p, other[p] = p == 7 ? p : p + kPairs;
    std::vector<double> divergence(kPairs);
    CopyDivergenceArgs args{"m",           kFloatTypeOf<T>, kRows,        columns,          kPairs,
                            matrix.data(), first.data(),    other.data(), divergence.data()};
    CopyDivergence(args, pool);
    DeviceArray<T> gmatrix(matrix);
    DeviceArray<int64_t> gfirst(first), gother(other);
    DeviceArray<double> gdivergence(kPairs);
    args.matrix = gmatrix.data();
    args.first = gfirst.data();
    args.other = gother.data();
    args.divergence = gdivergence.data();
    cuda::CopyDivergence(args, nullptr);
    const auto got = gdivergence.Host();
    EXPECT_EQ(got[7], 0);
    for (int64_t p = 0; p < kPairs; ++p) EXPECT_NEAR(got[p], divergence[p], 1e-13 * divergence[p]);
  }
}

TYPED_TEST(ExpandKernels, LogitsCompareMatchesItsTwin) {
  using T = TypeParam;
  ThreadPool pool(2);
  for (const int64_t classes : {1, 77, 30522}) {
    constexpr int64_t kRows = 11;
    const auto a = RandomBuffer<T>(kRows * classes, 6, 0, 3);
    auto b = RandomBuffer<T>(kRows * classes, 7, 0, 3);
    for (int64_t c = 0; c < classes; ++c) b[3 * classes + c] = a[3 * classes + c];
    std::vector<LogitsComparison> result(kRows);
    LogitsCompareArgs args{"logits", kFloatTypeOf<T>, kRows,        classes,
                           a.data(), b.data(),        result.data()};
    LogitsCompare(args, pool);
    DeviceArray<T> ga(a), gb(b);
    DeviceArray<LogitsComparison> gresult(kRows);
    args.a = ga.data();
    args.b = gb.data();
    args.result = gresult.data();
    cuda::LogitsCompare(args, nullptr);
    const auto got = gresult.Host();
    EXPECT_EQ(got[3].max_difference, 0);
    EXPECT_EQ(got[3].kullback_leibler, 0);
    for (int64_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(got[r].max_difference, result[r].max_difference);
      EXPECT_EQ(got[r].max_logit, result[r].max_logit);
      EXPECT_NEAR(got[r].kullback_leibler, result[r].kullback_leibler, 1e-11);
      EXPECT_EQ(got[r].top_agrees, result[r].top_agrees);
    }
  }
}

}  // namespace
}  // namespace orchard::expand
