// Instructions for one tensor from the copy maps of its axes: what every network's plan is made of.
#pragma once

#include <string>
#include <vector>

#include "expand/plan.h"
#include "expand/tensor_op.h"

namespace orchard::expand {

// An op of this name that reads `info`, stored as the options ask.
TensorOp StartOp(const io::TensorInfo& info, const std::string& name, const MethodOptions& options);

// Throws DataError where the tensor has another number of axes.
void CheckAxes(const SourceModel& source, const io::TensorInfo& info, size_t axes);

// A vector whose stored axis `axis` goes along `rows`. Throws DataError where it has not the size
// that the map copies from.
void SetVector(const SourceModel& source, const io::TensorInfo& info, const std::string& axis,
               AxisMapPtr rows, TensorOp& op);
// A matrix with the stored axes `axes`: outputs first, or last where `transposed`, along `rows`;
// inputs at the other end along `columns`, null for tables, whose entries are not grown; further
// axes are passengers. Throws DataError likewise.
void SetMatrix(const SourceModel& source, const io::TensorInfo& info,
               const std::vector<std::string>& axes, bool transposed, AxisMapPtr rows,
               AxisMapPtr columns, TensorOp& op);

// The kind of a split and the noise that goes with it.
void SetSplit(Split split, const MethodOptions& options, TensorOp& op);

// A constant in place of the source's values.
void Fill(TensorOp& op, double value, const char* policy);
// Fresh normal values of standard deviation `sigma`.
void DrawFresh(TensorOp& op, double sigma);

Exactness MatrixExactness(const TensorOp& op);
std::string MatrixPolicy(const TensorOp& op);  // for the report
bool PowerOfTwo(double value);

}  // namespace orchard::expand
