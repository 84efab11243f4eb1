// Several tensors of one CUDA device to another one, in one buffer. Internal to courier.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace orchard::execute {

// Whether packing pays and can be done: kernels are compiled in, and there are at least four
// defined tensors, each of at most 64 KiB and without gaps.
bool WorthPacking(const std::vector<at::Tensor>& tensors, c10::Device to);

// Copies on the current streams of both devices, with the strides of the originals; undefined
// tensors stay so.
std::vector<at::Tensor> PackedCopy(const std::vector<at::Tensor>& tensors, c10::Device to);

}  // namespace orchard::execute
