// Device memory for tests and benchmarks, and the reason why a test without a device is skipped.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/base/launch.h"

namespace orchard::gpu {

inline void CheckCuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
  }
}

// An array in device memory. New memory is filled with a pattern that reads as NaN in every float
// type, so that an element that a kernel fails to write is seen.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t size) : size_(size) {
    void* memory = nullptr;
    CheckCuda(cudaMalloc(&memory, std::max<size_t>(1, Bytes())), "cudaMalloc");
    data_ = static_cast<T*>(memory);
    CheckCuda(cudaMemset(data_, 0xFF, Bytes()), "cudaMemset");
  }
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(static_cast<int64_t>(values.size())) {
    CheckCuda(cudaMemcpy(data_, values.data(), Bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t Bytes() const { return static_cast<size_t>(size_) * sizeof(T); }

  // Waits for the device, so that errors inside kernels surface here.
  std::vector<T> Host() const {
    std::vector<T> values(static_cast<size_t>(size_));
    CheckCuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    CheckCuda(cudaMemcpy(values.data(), data_, Bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  int64_t size_;
  T* data_ = nullptr;
};

// For suites whose tests need a device.
class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::DeviceAvailable()) GTEST_SKIP() << "no CUDA device";
  }
};

}  // namespace orchard::gpu
