// Where tensors live. liborchard links only LibTorch's CPU half; the CUDA half (libtorch_cuda.so
// and its 3 GB of libraries) is loaded at run time when a GPU is asked for, so that CPU runs start
// fast and need none of it.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace orchard::nn {

// Loads libtorch_cuda.so, found beside libtorch_cpu.so or on the library path. Does nothing when it
// is loaded already. Call it before any tensor work: LibTorch settles on CPU only at the first
// operation that asks whether there is CUDA. Throws ResourceError when the library is missing or
// does not load, or when there is no usable device.
void LoadCudaBackend();

// The number of CUDA devices; 0 before `LoadCudaBackend`.
int CudaDeviceCount();

// The device of `--device`: "cpu", "cuda", "cuda:<i>", or "auto" (CUDA where the backend loads and
// there is a device, else CPU). Loads the backend where needed. Throws UsageError for other text,
// ResourceError when the device does not exist.
c10::Device ResolveDevice(const std::string& text);

// The most memory that tensors on a device have held at one time in this process, bytes; nothing
// for the CPU, whose allocator does not count.
std::optional<int64_t> PeakAllocatedBytes(c10::Device device);

// Whether f32 products on CUDA may use TF32 (10-bit mantissa, relative error near 1e-3). LibTorch's
// default differs between convolutions and products, so programs set it: off for verification, as
// configured for training.
void AllowTf32(bool allow);

// Makes CUDA and CPU operations that have a deterministic form use it (`--deterministic`).
void UseDeterministicAlgorithms(bool deterministic);

}  // namespace orchard::nn
