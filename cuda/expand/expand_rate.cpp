#include "cuda/expand/expand_rate.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/base/device_memory.h"
#include "cuda/expand/expand_matrix.h"

namespace orchard::cuda {
namespace {

constexpr const char* kRoom = "device memory for measuring";

// Seconds of one call: the best of `kRounds` spans of `kCalls`, between events of the device.
double Seconds(const std::function<void(int)>& call) {
  constexpr int kRounds = 5, kCalls = 16;
  cudaEvent_t begin, end;
  CheckCuda(cudaEventCreate(&begin), "cudaEventCreate");
  CheckCuda(cudaEventCreate(&end), "cudaEventCreate");
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    cudaEventRecord(begin);
    for (int i = 0; i < kCalls; ++i) call(i);
    cudaEventRecord(end);
    CheckCuda(cudaEventSynchronize(end), "measuring");
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
  CheckCuda(cudaGetDevice(&device), "cudaGetDevice");
  CheckCuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  rates.device = properties.name;

  // Sources in turn, so that none is found in the cache. Bytes 0x3C are bf16 numbers of ordinary
  // size.
  const auto from = AllocateOnDevice<char>(kSets * kTargetBytes, kRoom),
             to = AllocateOnDevice<char>(kTargetBytes, kRoom);
  CheckCuda(cudaMemset(from.get(), 0x3C, kSets * kTargetBytes), "cudaMemset");
  const auto source = [&](int i) { return from.get() + i % kSets * kTargetBytes; };
  rates.copy =
      2.0 * kTargetBytes / Seconds([&](int i) {
        CheckCuda(cudaMemcpyAsync(to.get(), source(i), kTargetBytes, cudaMemcpyDeviceToDevice),
                  "cudaMemcpyAsync");
      });

  std::vector<int64_t> entries(kTarget);
  for (int64_t c = 0; c < kTarget; ++c) entries[c] = c % kSource;
  const expand::ColumnTables tables = expand::MakeColumnTables(kSource, entries);
  DeviceConstants constants;
  const auto upload = [&](const std::vector<int32_t>& values) {
    return constants.Upload(values, kRoom, nullptr);
  };
  expand::ExpandMatrixArgs args;
  args.type = FloatType::kBF16;
  args.source_rows = args.source_columns = kSource;
  args.target_rows = args.target_columns = kTarget;
  args.sigma = 0.002;
  args.rows = upload({entries.begin(), entries.end()});
  args.column_first = upload(tables.first);
  args.column_targets = upload(tables.targets);
  args.most_copies = 2;
  args.target = to.get();
  rates.expand_matrix = static_cast<double>(kSourceBytes + kTargetBytes) / Seconds([&](int i) {
                          args.source = source(i);
                          ExpandMatrix(args, nullptr);
                        });
  return rates;
}

}  // namespace orchard::cuda
