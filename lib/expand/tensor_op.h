// How one target tensor comes from source tensors: the instructions that a plan is made of
// (expand/plan.h) and that the runner carries out block by block (expand/tensor_runner.h).
// Everything here is decided before a byte of weights is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "expand/axis_map.h"
#include "expand/element.h"
#include "expand/mix_map.h"
#include "io/dtype.h"

namespace orchard::expand {

enum class OpKind {
  kCopy,    // the source's bytes (converted when the dtype differs)
  kMatrix,  // EXPAND-LINEAR (LEMON, sec. 3; docs/methods/lemon-expand.md)
  kVector,  // biases and norm parameters: factor * x + offset, with padding
  kFill,    // a constant: neutral layers
  kNoise,   // fresh normal initialisation
  kMix      // weighted sums of source units and of source tensors (LiGO)
};

// Rows (output units) that copy nothing.
enum class RowPad { kZero, kMean, kNoise };

// Columns (input units) that copy nothing, by what the padded input holds.
enum class ColumnPad {
  kNoise,         // input padding is zero: anything goes
  kCentredNoise,  // input padding is the mean: the row's noise sums to zero
  kZero
};

enum class VectorPad {
  kZero,
  kMean,     // of the source vector
  kUniform,  // Unif(-1, 1) * pad_scale + pad_offset: norm gains, which must not be zero
  kOne
};

// How exact the stored tensor is (docs/methods/lemon-expand.md, "Exactness classes").
enum class Exactness {
  kExact,        // A: the identities hold exactly for the stored numbers
  kNormRounded,  // A': exact but for the f32 rounding of norm gains
  kRounded,      // B: stored values are rounded
  kApproximate   // C: approximate by construction
};
const char* Name(Exactness exactness);

struct TensorOp {
  std::string name;
  io::DType dtype = io::DType::kF32;
  std::vector<int64_t> shape;
  OpKind kind = OpKind::kCopy;

  // Source tensors. A row map's unit u stands for unit u mod n of sources[u / n], n = units of one
  // source tensor: more than one source appears where new rows come from another layer (aki).
  std::vector<std::string> sources;

  // Matrices, seen as [out, in, passengers], or stored [in, out] when transposed. Tables of
  // embeddings are transposed matrices whose input axis (tokens, positions) is not grown.
  bool transposed = false;
  int64_t passengers = 1;  // kernel elements of a convolution
  AxisMapPtr rows, columns;
  RowPad row_pad = RowPad::kZero;
  std::string
      mean_weights;  // tensor [out] that weighs the rows in their mean: LayerScale; empty: none
  ColumnPad column_pad = ColumnPad::kNoise;
  Split split = Split::kGrid;
  double sigma = 0;           // of the split noise, and of kNoise
  double pad_sigma = 0;       // of padding columns
  double relative_sigma = 0;  // where not 0, sigma is this times the root mean square of the source
  double scale = 1;           // multiplies the source first; the product is rounded to storage

  // Mixes: sum over tensors s of source_weights[s] mix_rows sources[s] mix_columns^T. Vectors are
  // matrices of one column.
  MixMapPtr mix_rows, mix_columns;
  std::vector<double> source_weights;

  // Vectors (`rows` is their map; `scale` their factor).
  double offset = 0;  // also the value of kFill
  VectorPad vector_pad = VectorPad::kZero;
  double pad_scale = 1, pad_offset = 0;

  bool new_layer = false;  // belongs to a layer that the source does not have

  Exactness exactness = Exactness::kExact;
  std::string policy;  // for the report, e.g. "rows mean, columns split"

  int64_t elements() const;
  // Outer extent in which the tensor is cut into blocks, and the elements of one unit of it.
  int64_t block_units() const;
  int64_t unit_elements() const { return elements() / std::max<int64_t>(1, block_units()); }
};

}  // namespace orchard::expand
