#include "expand/tensor_runner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/half.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ScratchDir;

AxisMapPtr Share(AxisMap map) { return std::make_shared<const AxisMap>(std::move(map)); }

// A source with one matrix "w", stored [out, in, passengers] or [in, out].
struct MatrixCase {
  MatrixCase(int64_t out, int64_t in, int64_t passengers, bool transposed, io::DType dtype) {
    std::vector<int64_t> shape =
        transposed ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in};
    if (passengers > 1) shape.push_back(passengers);
    WriteTensors(
        scratch / "m.safetensors",
        {{"w", shape, TinyValues("w", out * in * passengers)}, {"v", {out}, TinyValues("v", out)}},
        dtype);
    source.emplace(io::Checkpoint::Open(scratch / "m.safetensors"));
    op.name = "w";
    op.kind = OpKind::kMatrix;
    op.sources = {"w"};
    op.dtype = dtype;
    op.transposed = transposed;
    op.passengers = passengers;
    op.sigma = op.pad_sigma = 0.02;
  }

  void Grow(AxisMap rows, AxisMap columns) {
    op.rows = Share(std::move(rows));
    op.columns = Share(std::move(columns));
    op.shape = op.transposed ? std::vector<int64_t>{op.columns->size(), op.rows->size()}
                             : std::vector<int64_t>{op.rows->size(), op.columns->size()};
    if (op.passengers > 1) op.shape.push_back(op.passengers);
  }

  // Flat index of an element of a matrix with `rows` outputs and `columns` inputs.
  int64_t Index(int64_t i, int64_t j, int64_t p, int64_t rows, int64_t columns) const {
    return op.transposed ? j * rows + i : (i * columns + j) * op.passengers + p;
  }

  // The source's row that target row i stands for: its mean row, rounded to storage, on padding.
  double Wanted(const std::vector<double>& weights, int64_t i, int64_t j, int64_t p) const {
    const int64_t out = op.rows->source_size(), in = op.columns->source_size();
    const int64_t u = (*op.rows)[i];
    if (u != kPad) return weights[Index(u, j, p, out, in)];
    if (op.row_pad == RowPad::kZero) return 0;
    double sum = 0;
    for (int64_t r = 0; r < out; ++r) sum += weights[Index(r, j, p, out, in)];
    const double mean = sum / static_cast<double>(out);
    switch (op.dtype) {
      case io::DType::kBF16:
        return Widen(Narrow<BFloat16>(static_cast<float>(mean)));
      case io::DType::kF16:
        return Widen(Narrow<Float16>(static_cast<float>(mean)));
      case io::DType::kF32:
        return static_cast<float>(mean);
      default:
        return mean;
    }
  }

  // Every sum over the copies of an input, against what it must be, without any rounding.
  void ExpectExactColumnSums() {
    const std::vector<double> weights = ReadValues(*source, "w");
    const std::vector<double> grown = RunValues(*source, op);
    for (int64_t i = 0; i < op.rows->size(); ++i) {
      for (int64_t j = 0; j < op.columns->source_size(); ++j) {
        for (int64_t p = 0; p < op.passengers; ++p) {
          long double sum = 0;
          for (int64_t c = 0; c < op.columns->size(); ++c) {
            if ((*op.columns)[c] == j)
              sum += grown[Index(i, c, p, op.rows->size(), op.columns->size())];
          }
          ASSERT_EQ(sum, static_cast<long double>(Wanted(weights, i, j, p)))
              << "row " << i << ", input " << j << ", element " << p;
        }
      }
    }
  }

  ScratchDir scratch;
  std::optional<io::Checkpoint> source;
  TensorOp op;
};

constexpr io::DType kFloats[] = {io::DType::kBF16, io::DType::kF16, io::DType::kF32,
                                 io::DType::kF64};

// ---- the split -------------------------------------------------------------------------------

TEST(TensorRunner, GridSumsExactlyForLinearMapsOfEveryType) {
  for (io::DType dtype : kFloats) {
    for (RowPad pad : {RowPad::kZero, RowPad::kMean}) {
      MatrixCase c(5, 7, 1, false, dtype);
      c.Grow(AxisMap::Padded(5, 13), AxisMap::Padded(7, 23));
      c.op.row_pad = pad;
      c.ExpectExactColumnSums();
    }
  }
}

TEST(TensorRunner, GridSumsExactlyForTransposedMapsOfEveryType) {
  for (io::DType dtype : kFloats) {
    for (RowPad pad : {RowPad::kZero, RowPad::kMean}) {
      MatrixCase c(5, 7, 1, true, dtype);
      c.Grow(AxisMap::Padded(5, 13), AxisMap::Circular(7, 23));
      c.op.row_pad = pad;
      c.ExpectExactColumnSums();
    }
  }
}

TEST(TensorRunner, GridSumsExactlyForConvolutionsOfEveryType) {
  for (io::DType dtype : kFloats) {
    MatrixCase c(4, 3, 9, false, dtype);
    c.Grow(AxisMap::Circular(4, 6), AxisMap::Circular(3, 8));
    c.ExpectExactColumnSums();
  }
}

RC_GTEST_PROP(TensorRunner, GridSumsExactlyForAnyShape, ()) {
  const int64_t out = *rc::gen::inRange<int64_t>(1, 9), in = *rc::gen::inRange<int64_t>(1, 9);
  const bool transposed = *rc::gen::arbitrary<bool>();
  MatrixCase c(out, in, 1, transposed, kFloats[*rc::gen::inRange(0, 4)]);
  const int64_t more_out = *rc::gen::inRange<int64_t>(0, 20),
                more_in = *rc::gen::inRange<int64_t>(0, 20);
  c.Grow(AxisMap::Circular(out, out + more_out), AxisMap::Padded(in, in + more_in));
  c.ExpectExactColumnSums();
}

// alpha + beta + gamma = 1 for three copies, none equal to another (LEMON, fig. 3).
TEST(TensorRunner, PartsOfACopyDiffer) {
  MatrixCase c(1, 1, 1, false, io::DType::kF64);
  c.Grow(AxisMap::Identity(1), AxisMap::Circular(1, 3));
  const std::vector<double> parts = RunValues(*c.source, c.op);
  EXPECT_NE(parts[0], parts[1]);
  EXPECT_NE(parts[1], parts[2]);
  EXPECT_NE(parts[0], parts[2]);
}

TEST(TensorRunner, EqualSplitGivesEqualCopies) {
  MatrixCase c(3, 4, 1, false, io::DType::kF32);
  c.Grow(AxisMap::Circular(3, 6), AxisMap::Circular(4, 8));
  c.op.split = Split::kEqual;
  const std::vector<double> w = ReadValues(*c.source, "w"), grown = RunValues(*c.source, c.op);
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < 8; ++j) EXPECT_EQ(grown[i * 8 + j], w[i % 3 * 4 + j % 4] / 2);
  }
}

TEST(TensorRunner, CopiedRowsGetNoiseOfTheirOwn) {
  MatrixCase c(3, 4, 1, false, io::DType::kF32);
  c.Grow(AxisMap::Circular(3, 6), AxisMap::Circular(4, 8));
  const std::vector<double> grown = RunValues(*c.source, c.op);
  for (int64_t j = 0; j < 8; ++j) EXPECT_NE(grown[j], grown[3 * 8 + j]);
}

TEST(TensorRunner, PermutedSourceUnitsGiveAPermutedTarget) {
  MatrixCase c(3, 4, 1, false, io::DType::kF32);
  c.op.split = Split::kEqual;  // noise belongs to places, not to units
  c.Grow(AxisMap::Circular(3, 6), AxisMap::Circular(4, 8));
  const std::vector<double> grown = RunValues(*c.source, c.op);
  const std::vector<double> w = ReadValues(*c.source, "w");
  const int64_t order[3] = {2, 0, 1};
  std::vector<double> permuted;
  for (int64_t u : order) permuted.insert(permuted.end(), &w[u * 4], &w[u * 4] + 4);
  WriteTensors(c.scratch / "p.safetensors", {{"w", {3, 4}, permuted}}, io::DType::kF32);
  const io::Checkpoint other = io::Checkpoint::Open(c.scratch / "p.safetensors");
  const std::vector<double> result = RunValues(other, c.op);
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t from = i / 3 * 3 + order[i % 3];
    for (int64_t j = 0; j < 8; ++j) EXPECT_EQ(result[i * 8 + j], grown[from * 8 + j]);
  }
}

// Any two expansions in a row are an expansion: copies of inputs in, copies of outputs out.
RC_GTEST_PROP(TensorRunner, TwoStepsComputeWhatOneComputes, ()) {
  const int64_t n = *rc::gen::inRange<int64_t>(1, 6);
  const int64_t m = n + *rc::gen::inRange<int64_t>(0, 8), t = m + *rc::gen::inRange<int64_t>(0, 8);
  MatrixCase c(n, n, 1, false, io::DType::kF64);
  const std::vector<double> w = ReadValues(*c.source, "w");
  c.Grow(AxisMap::Circular(n, m), AxisMap::Circular(n, m));
  WriteTensors(c.scratch / "mid.safetensors", {{"w", {m, m}, RunValues(*c.source, c.op)}},
               io::DType::kF64);
  c.Grow(AxisMap::Circular(m, t), AxisMap::Circular(m, t));
  const std::vector<double> big =
      RunValues(io::Checkpoint::Open(c.scratch / "mid.safetensors"), c.op);
  for (int64_t i = 0; i < t; ++i) {
    double got = 0, wanted = 0;
    for (int64_t j = 0; j < t; ++j) got += big[i * t + j] * std::sin(1.0 + j % m % n);
    for (int64_t j = 0; j < n; ++j) wanted += w[i % m % n * n + j] * std::sin(1.0 + j);
    RC_ASSERT(std::abs(got - wanted) < 1e-12);
  }
}

// ---- padding ---------------------------------------------------------------------------------

TEST(TensorRunner, PaddingColumnsAreNoiseWhereTheirInputIsZero) {
  MatrixCase c(64, 4, 1, false, io::DType::kF64);
  c.Grow(AxisMap::Identity(64), AxisMap::Padded(4, 7));
  const std::vector<double> grown = RunValues(*c.source, c.op);
  double squares = 0;
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t j = 4; j < 7; ++j) squares += grown[i * 7 + j] * grown[i * 7 + j];
  }
  EXPECT_NEAR(std::sqrt(squares / (64 * 3)), 0.02, 0.005);
}

TEST(TensorRunner, PaddingColumnsSumToZeroWhereTheirInputIsTheMean) {
  for (bool transposed : {false, true}) {
    MatrixCase c(3, 4, 1, transposed, io::DType::kF64);
    c.Grow(AxisMap::Circular(3, 5), AxisMap::Padded(4, 7));  // K = 1, r = D_S - 1
    c.op.column_pad = ColumnPad::kCentredNoise;
    const std::vector<double> grown = RunValues(*c.source, c.op);
    for (int64_t i = 0; i < 5; ++i) {
      double sum = 0;
      for (int64_t j = 4; j < 7; ++j) {
        EXPECT_NE(grown[c.Index(i, j, 0, 5, 7)], 0);
        sum += grown[c.Index(i, j, 0, 5, 7)];
      }
      EXPECT_NEAR(sum, 0, 1e-16);
    }
  }
}

TEST(TensorRunner, ASinglePaddingColumnIsZeroWhereItsInputIsTheMean) {
  MatrixCase c(3, 4, 1, false, io::DType::kF64);
  c.Grow(AxisMap::Identity(3), AxisMap::Padded(4, 5));
  c.op.column_pad = ColumnPad::kCentredNoise;
  const std::vector<double> grown = RunValues(*c.source, c.op);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(grown[i * 5 + 4], 0);
}

// Padding rows weighed by LayerScale: what the padding adds is the mean of what the copies add.
TEST(TensorRunner, MeanRowsAreWeighedByLayerScale) {
  MatrixCase c(5, 3, 1, false, io::DType::kF64);
  c.Grow(AxisMap::Padded(5, 7), AxisMap::Identity(3));
  c.op.row_pad = RowPad::kMean;
  c.op.mean_weights = "v";
  const std::vector<double> w = ReadValues(*c.source, "w"), v = ReadValues(*c.source, "v");
  const std::vector<double> grown = RunValues(*c.source, c.op);
  for (int64_t j = 0; j < 3; ++j) {
    double mean = 0;
    for (int64_t i = 0; i < 5; ++i) mean += v[i] * w[i * 3 + j] / 5;
    EXPECT_NEAR(grown[5 * 3 + j], mean, 1e-16);
    EXPECT_EQ(grown[6 * 3 + j], grown[5 * 3 + j]);
  }
}

// ---- new layers ------------------------------------------------------------------------------

TEST(TensorRunner, CancellingPartsAreSilentForAnyInput) {
  for (io::DType dtype : kFloats) {
    MatrixCase c(3, 4, 1, false, dtype);
    c.Grow(AxisMap::Identity(3), AxisMap::Circular(4, 11));
    c.op.split = Split::kCancel;
    const std::vector<double> grown = RunValues(*c.source, c.op);
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 4; ++j) {
        double sum = 0, largest = 0;
        for (int64_t k = j; k < 11; k += 4) {
          largest = std::max(largest, std::abs(grown[i * 11 + k]));
          sum += grown[i * 11 + k];
        }
        EXPECT_EQ(sum, 0);
        EXPECT_GT(largest, 0.001);  // of noise of 0.02: the weights are not zero
      }
    }
  }
}

// ---- bytes -----------------------------------------------------------------------------------

TEST(TensorRunner, BlocksOfAnySizeGiveTheSameBytes) {
  for (bool transposed : {false, true}) {
    MatrixCase c(6, 5, 1, transposed, io::DType::kBF16);
    c.Grow(AxisMap::Padded(6, 15), AxisMap::Padded(5, 13));
    c.op.row_pad = RowPad::kMean;
    const auto whole = RunOp(*c.source, c.op);
    for (int64_t units : {1, 2, 7}) EXPECT_EQ(RunOp(*c.source, c.op, 0, units), whole);
  }
}

TEST(TensorRunner, AnotherSeedGivesAnotherSplit) {
  MatrixCase c(3, 4, 1, false, io::DType::kF32);
  c.Grow(AxisMap::Identity(3), AxisMap::Circular(4, 8));
  EXPECT_NE(RunOp(*c.source, c.op, 1), RunOp(*c.source, c.op, 2));
}

TEST(TensorRunner, NamesTheTensorWithNaN) {
  const ScratchDir scratch;
  WriteTensors(scratch / "m.safetensors", {{"w", {1, 2}, {1.0, NAN}}}, io::DType::kF32);
  const io::Checkpoint source = io::Checkpoint::Open(scratch / "m.safetensors");
  TensorOp op{.name = "w", .shape = {1, 2}, .kind = OpKind::kCopy, .sources = {"w"}};
  std::vector<std::byte> out(8);
  try {
    TensorRunner(source, op, {}).Run(0, 2, out);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("tensor w"), std::string::npos) << e.what();
  }
  TensorRunner(source, op, {.allow_nonfinite = true}).Run(0, 2, out);
}

TEST(TensorRunner, RefusesASourceOfAnotherSize) {
  MatrixCase c(3, 4, 1, false, io::DType::kF32);
  c.Grow(AxisMap::Identity(3), AxisMap::Circular(5, 8));
  EXPECT_THROW(TensorRunner(*c.source, c.op, {}), DataError);
}

}  // namespace
}  // namespace orchard::expand
