// Timing work on a GPU: by device events around each call, with inputs that rotate over four sets,
// so that no run finds its data in the 50 MB of L2; rates as a share of a device-to-device copy
// measured in the same run (`of_copy`).
#pragma once

#include <benchmark/benchmark.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

#include "gpu/device_array.h"

namespace orchard::bench {

inline constexpr int kSets = 4;

inline double copy_rate = 0;  // bytes read plus bytes written per second

// Milliseconds of one call, by events around it.
class Timer {
 public:
  Timer() {
    gpu::CheckCuda(cudaEventCreate(&begin_), "cudaEventCreate");
    gpu::CheckCuda(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  double Seconds(const std::function<void()>& call) {
    gpu::CheckCuda(cudaEventRecord(begin_), "cudaEventRecord");
    call();
    gpu::CheckCuda(cudaEventRecord(end_), "cudaEventRecord");
    gpu::CheckCuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    gpu::CheckCuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t begin_, end_;
};

inline void Measure(benchmark::State& state, double bytes, const std::function<void(int)>& call) {
  Timer timer;
  for (int set = 0; set < kSets; ++set) call(set);  // warm-up
  gpu::CheckCuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  int set = 0;
  double seconds = 0;
  for (auto _ : state) {
    const double once = timer.Seconds([&] { call(set); });
    set = (set + 1) % kSets;
    seconds += once;
    state.SetIterationTime(once);
  }
  const double rate = bytes * static_cast<double>(state.iterations()) / seconds;
  state.counters["bytes_per_second"] = rate;
  if (copy_rate == 0) {
    copy_rate = rate;
  } else {
    state.counters["of_copy"] = rate / copy_rate;
  }
}

// The copy that the others are set in relation to: run it first.
inline void DeviceCopy(benchmark::State& state) {
  constexpr int64_t kCount = int64_t{1} << 28;
  gpu::DeviceArray<uint16_t> from(kCount), to(kCount);
  Measure(state, 2.0 * kCount * sizeof(uint16_t), [&](int) {
    gpu::CheckCuda(cudaMemcpyAsync(to.data(), from.data(), from.Bytes(), cudaMemcpyDeviceToDevice),
                   "cudaMemcpyAsync");
  });
}

}  // namespace orchard::bench
