// From the dtype of a tensor to the C++ type that its elements are stored in.
#pragma once

#include <string>

#include "base/error.h"
#include "base/half.h"
#include "io/dtype.h"

namespace orchard::expand {

// Calls function(T{}) with the C++ type of a stored dtype. Throws ImpossibleError naming the tensor
// for one that nothing is computed with.
template <class Function>
void DispatchStored(io::DType dtype, const std::string& tensor, Function&& function) {
  switch (dtype) {
    case io::DType::kBF16:
      return function(BFloat16{});
    case io::DType::kF16:
      return function(Float16{});
    case io::DType::kF32:
      return function(float{});
    case io::DType::kF64:
      return function(double{});
    default:
      throw ImpossibleError("cannot compute with dtype " + std::string(io::Name(dtype)),
                            "tensor " + tensor, "dequantise to F32, BF16 or F16 first");
  }
}

}  // namespace orchard::expand
