#include "nn/tensor_bytes.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"

namespace orchard::nn {
namespace {

constexpr std::pair<io::DType, at::ScalarType> kTypes[] = {
    {io::DType::kBool, at::kBool},  {io::DType::kU8, at::kByte},
    {io::DType::kI8, at::kChar},    {io::DType::kI16, at::kShort},
    {io::DType::kI32, at::kInt},    {io::DType::kI64, at::kLong},
    {io::DType::kF16, at::kHalf},   {io::DType::kBF16, at::kBFloat16},
    {io::DType::kF32, at::kFloat},  {io::DType::kF64, at::kDouble},
    {io::DType::kU16, at::kUInt16}, {io::DType::kU32, at::kUInt32},
    {io::DType::kU64, at::kUInt64},
};

}  // namespace

at::ScalarType ScalarTypeOf(io::DType dtype) {
  for (const auto& [stored, type] : kTypes) {
    if (stored == dtype) return type;
  }
  throw ImpossibleError("cannot compute with dtype " + std::string(io::Name(dtype)));
}

io::DType DTypeOf(at::ScalarType type) {
  for (const auto& [stored, known] : kTypes) {
    if (known == type) return stored;
  }
  throw ImpossibleError(std::string("cannot store dtype ") + c10::toString(type));
}

at::Tensor ReadTensor(const io::Checkpoint& checkpoint, const io::TensorInfo& tensor) {
  at::Tensor value = at::empty(tensor.shape, at::TensorOptions().dtype(ScalarTypeOf(tensor.dtype)));
  const auto bytes = checkpoint.Bytes(tensor);
  if (!bytes.empty()) std::memcpy(value.mutable_data_ptr(), bytes.data(), bytes.size());
  return value;
}

std::span<const std::byte> TensorBytes(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace orchard::nn
