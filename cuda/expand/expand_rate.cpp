#include "cuda/expand/expand_rate.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "cuda/expand/expand_matrix.h"

namespace orchard::cuda {
namespace {

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw ResourceError(std::string(what) + ": " + cudaGetErrorString(status), "device",
                      "free its memory, or use --device cpu");
}

struct Free {
  void operator()(void* pointer) const { cudaFree(pointer); }
};
using DeviceMemory = std::unique_ptr<void, Free>;

DeviceMemory Allocate(int64_t bytes) {
  void* pointer = nullptr;
  Check(cudaMalloc(&pointer, static_cast<size_t>(bytes)), "cudaMalloc");
  return DeviceMemory(pointer);
}

DeviceMemory Upload(const std::vector<int32_t>& values) {
  const int64_t bytes = static_cast<int64_t>(values.size() * sizeof(int32_t));
  DeviceMemory memory = Allocate(bytes);
  Check(cudaMemcpy(memory.get(), values.data(), static_cast<size_t>(bytes), cudaMemcpyHostToDevice),
        "cudaMemcpy");
  return memory;
}

// Seconds of one call: the best of `kRounds` spans of `kCalls`, between events of the device.
double Seconds(const std::function<void(int)>& call) {
  constexpr int kRounds = 5, kCalls = 16;
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "cudaEventCreate");
  Check(cudaEventCreate(&end), "cudaEventCreate");
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    cudaEventRecord(begin);
    for (int i = 0; i < kCalls; ++i) call(i);
    cudaEventRecord(end);
    Check(cudaEventSynchronize(end), "measuring");
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    best = std::min(best, 1e-3 * milliseconds / kCalls);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return best;
}

}  // namespace

ExpandRates MeasureExpandRates() {
  constexpr int64_t kSource = 4096, kTarget = 8192, kWidth = 2, kSets = 4;
  constexpr int64_t kSourceBytes = kSource * kSource * kWidth;
  constexpr int64_t kTargetBytes = kTarget * kTarget * kWidth;
  ExpandRates rates;
  int device = 0;
  cudaDeviceProp properties;
  Check(cudaGetDevice(&device), "cudaGetDevice");
  Check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  rates.device = properties.name;

  // Sources in turn, so that none is found in the cache. Bytes 0x3C are bf16 numbers of ordinary
  // size.
  const DeviceMemory from = Allocate(kSets * kTargetBytes), to = Allocate(kTargetBytes);
  Check(cudaMemset(from.get(), 0x3C, kSets * kTargetBytes), "cudaMemset");
  const auto source = [&](int i) {
    return static_cast<char*>(from.get()) + i % kSets * kTargetBytes;
  };
  rates.copy = 2.0 * kTargetBytes / Seconds([&](int i) {
                 Check(cudaMemcpyAsync(to.get(), source(i), kTargetBytes, cudaMemcpyDeviceToDevice),
                       "cudaMemcpyAsync");
               });

  std::vector<int64_t> entries(kTarget);
  for (int64_t c = 0; c < kTarget; ++c) entries[c] = c % kSource;
  const expand::ColumnTables tables = expand::MakeColumnTables(kSource, entries);
  const DeviceMemory rows = Upload({entries.begin(), entries.end()}), first = Upload(tables.first),
                     targets = Upload(tables.targets);
  expand::ExpandMatrixArgs args;
  args.type = FloatType::kBF16;
  args.source_rows = args.source_columns = kSource;
  args.target_rows = args.target_columns = kTarget;
  args.sigma = 0.002;
  args.rows = static_cast<const int32_t*>(rows.get());
  args.column_first = static_cast<const int32_t*>(first.get());
  args.column_targets = static_cast<const int32_t*>(targets.get());
  args.most_copies = 2;
  args.target = to.get();
  rates.expand_matrix = static_cast<double>(kSourceBytes + kTargetBytes) / Seconds([&](int i) {
                          args.source = source(i);
                          ExpandMatrix(args, nullptr);
                        });
  return rates;
}

}  // namespace orchard::cuda
