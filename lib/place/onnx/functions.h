// Calls of a model's own functions, replaced by the functions' bodies.
#pragma once

#include "place/onnx/model.h"

namespace orchard::place::onnx {

// Replaces every call in the main graph, also calls inside the bodies. Values and nodes of a body
// get the name of the call in front; `ref_attr_name` becomes the attribute of the call, else the
// function's default. Counts them in `model.inlined`. Throws DataError: functions that call each
// other more than 32 deep, more than 4 million nodes or 2^26 bytes in the end (16 times the file,
// where that is more), a function that wants another version of an operator set than the model.
void InlineFunctions(Model& model);

}  // namespace orchard::place::onnx
