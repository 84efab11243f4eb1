#include "expand/make_op.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace orchard::expand {
namespace {

using io::DType;

DType ToDType(StoredType type, DType keep) {
  switch (type) {
    case StoredType::kF32:
      return DType::kF32;
    case StoredType::kBf16:
      return DType::kBF16;
    case StoredType::kF16:
      return DType::kF16;
    case StoredType::kF64:
      return DType::kF64;
    default:
      return keep;
  }
}

[[noreturn]] void ThrowShape(const SourceModel& source, const io::TensorInfo& info,
                             const std::string& expected) {
  std::string shape;
  for (int64_t extent : info.shape) shape += (shape.empty() ? "[" : ", ") + std::to_string(extent);
  throw DataError(
      "shape " + (shape.empty() ? "[" : shape) + "] where the configuration gives " + expected,
      source.weights.Where(info));
}

void CheckExtent(const SourceModel& source, const io::TensorInfo& info, int64_t stored,
                 const AxisMap& map, const std::string& axis) {
  if (stored != map.source_size())
    ThrowShape(source, info, std::to_string(map.source_size()) + " for axis " + axis);
}

}  // namespace

TensorOp StartOp(const io::TensorInfo& info, const std::string& name,
                 const MethodOptions& options) {
  TensorOp op;
  op.name = name;
  op.dtype = io::IsFloat(info.dtype) ? ToDType(options.dtype, info.dtype) : info.dtype;
  op.sources = {info.name};
  op.shape = info.shape;
  op.policy = "copied";
  return op;
}

void CheckAxes(const SourceModel& source, const io::TensorInfo& info, size_t axes) {
  if (info.shape.size() == axes) return;
  ThrowShape(source, info, std::to_string(axes) + (axes == 1 ? " axis" : " axes"));
}

void SetVector(const SourceModel& source, const io::TensorInfo& info, const std::string& axis,
               AxisMapPtr rows, TensorOp& op) {
  CheckAxes(source, info, 1);
  CheckExtent(source, info, info.shape[0], *rows, axis);
  op.kind = OpKind::kVector;
  op.rows = std::move(rows);
  op.shape = {op.rows->size()};
}

void SetMatrix(const SourceModel& source, const io::TensorInfo& info,
               const std::vector<std::string>& axes, bool transposed, AxisMapPtr rows,
               AxisMapPtr columns, TensorOp& op) {
  CheckAxes(source, info, axes.size());
  op.kind = OpKind::kMatrix;
  op.shape = info.shape;
  op.transposed = transposed;
  const size_t out = transposed ? axes.size() - 1 : 0, in = transposed ? 0 : 1;
  CheckExtent(source, info, info.shape[out], *rows, axes[out]);
  op.rows = std::move(rows);
  op.shape[out] = op.rows->size();
  if (columns) {
    CheckExtent(source, info, info.shape[in], *columns, axes[in]);
    op.columns = std::move(columns);
    op.shape[in] = op.columns->size();
  } else {  // a table: its entries are not grown
    const int64_t entries = info.elements() / std::max<int64_t>(1, info.shape[out]);
    op.columns = std::make_shared<const AxisMap>(AxisMap::Identity(entries));
  }
  for (size_t axis = 2; axis < axes.size() && !op.transposed; ++axis)
    op.passengers *= info.shape[axis];
}

void SetSplit(Split split, const MethodOptions& options, TensorOp& op) {
  op.split = split;
  if (split != Split::kPairs) return;
  // Against the power of what noise is added to: the weight's share of each copy.
  const auto& copies = op.columns->copies();
  op.relative_sigma = std::pow(10.0, -options.hypercloning_snr / 20) /
                      static_cast<double>(copies.empty() ? 1 : copies[0]);
}

void Fill(TensorOp& op, double value, const char* policy) {
  op.kind = OpKind::kFill;
  op.offset = value;
  op.sources.clear();
  op.exactness = Exactness::kExact;
  op.policy = policy;
}

void DrawFresh(TensorOp& op, double sigma) {
  op.kind = OpKind::kNoise;
  op.sigma = sigma;
  op.sources.clear();
  op.policy = "fresh";
}

Exactness MatrixExactness(const TensorOp& op) {
  if (op.scale != 1 && !PowerOfTwo(op.scale)) return Exactness::kRounded;
  if (op.row_pad == RowPad::kMean && op.rows->pads() > 0) return Exactness::kRounded;
  const auto& copies = op.columns->copies();
  const bool split = std::any_of(copies.begin(), copies.end(), [](int64_t n) { return n > 1; });
  if (!split || op.split == Split::kGrid || op.split == Split::kCancel || op.split == Split::kPairs)
    return Exactness::kExact;
  if (op.split != Split::kEqual) return Exactness::kRounded;
  const bool powers =
      std::all_of(copies.begin(), copies.end(), [](int64_t n) { return (n & (n - 1)) == 0; });
  return powers ? Exactness::kExact : Exactness::kRounded;
}

std::string MatrixPolicy(const TensorOp& op) {
  const auto part = [](const AxisMap& map, const char* pad) -> std::string {
    if (map.identity()) return "kept";
    return map.pads() > 0 ? std::string("copied, ") + pad : "copied";
  };
  const char* row_pad = op.row_pad == RowPad::kMean    ? "padded with the mean"
                        : op.row_pad == RowPad::kNoise ? "padded with noise"
                                                       : "padded with zero";
  const std::string rows = "rows " + part(*op.rows, row_pad);
  const bool split = !op.columns->identity();
  return rows + (split ? ", columns split" +
                             std::string(op.columns->pads() > 0 ? ", noise on padding" : "")
                       : ", columns kept");
}

bool PowerOfTwo(double value) {
  int exponent;
  return std::frexp(value, &exponent) == 0.5;
}

}  // namespace orchard::expand
