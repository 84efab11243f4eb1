#include "io/torch/tensors.h"

#include <ATen/ATen.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

constexpr std::array<std::pair<DType, at::ScalarType>, 15> kTypes = {
    {{DType::kBool, at::kBool},
     {DType::kU8, at::kByte},
     {DType::kI8, at::kChar},
     {DType::kU16, at::kUInt16},
     {DType::kI16, at::kShort},
     {DType::kU32, at::kUInt32},
     {DType::kI32, at::kInt},
     {DType::kU64, at::kUInt64},
     {DType::kI64, at::kLong},
     {DType::kF16, at::kHalf},
     {DType::kBF16, at::kBFloat16},
     {DType::kF32, at::kFloat},
     {DType::kF64, at::kDouble},
     {DType::kF8E4M3, at::kFloat8_e4m3fn},
     {DType::kF8E5M2, at::kFloat8_e5m2}}};

at::Tensor ReadOne(const Checkpoint& checkpoint, const TensorInfo& info) {
  at::Tensor tensor = at::empty(info.shape, at::TensorOptions(ToScalarType(info.dtype)));
  checkpoint.Copy(info, 0, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  return tensor;
}

}  // namespace

at::ScalarType ToScalarType(DType dtype) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == dtype) return theirs;
  }
  throw ImpossibleError("tensors of dtype " + std::string(Name(dtype)) + " cannot be used", "",
                        "dequantise the model to BF16 or F32 first");
}

DType FromScalarType(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  throw ImpossibleError(std::string("tensors of type ") + at::toString(type) + " cannot be stored");
}

at::Tensor ReadTensor(const Checkpoint& checkpoint, std::string_view name) {
  return ReadOne(checkpoint, checkpoint.Get(name));
}

std::map<std::string, at::Tensor> ReadTensors(const Checkpoint& checkpoint) {
  std::map<std::string, at::Tensor> tensors;
  for (const TensorInfo& info : checkpoint.tensors())
    tensors[info.name] = ReadOne(checkpoint, info);
  return tensors;
}

void SaveTensors(const std::filesystem::path& path,
                 const std::map<std::string, at::Tensor>& tensors,
                 const std::map<std::string, std::string>& metadata, bool sync) {
  std::vector<TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.layout() != at::kStrided) {
      throw ImpossibleError("sparse tensors cannot be stored",
                            path.string() + ": tensor " + Printable(name));
    }
    infos.push_back({.name = name,
                     .dtype = FromScalarType(tensor.scalar_type()),
                     .shape = tensor.sizes().vec()});
  }
  SafetensorsWriter writer(path, SafetensorsLayout(std::move(infos), metadata));
  for (const TensorInfo& info : writer.layout().tensors()) {
    // One at a time, so that a copy of one tensor is all the memory it takes.
    const at::Tensor dense = tensors.at(info.name).detach().to(at::kCPU).contiguous();
    writer.Write(info, 0, {static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
  }
  writer.Finish(sync);
}

}  // namespace orchard::io
