#include "place/pdlp_solver.h"

#ifdef ORCHARD_HAVE_CUDA
#include "cuda/base/device_memory.h"
#include "cuda/place/pdlp.h"
#include "place/pdlp_arrays.h"
#endif

namespace orchard::place {

#ifdef ORCHARD_HAVE_CUDA
namespace {

constexpr int kGraphAttempts = 32;  // recorded once and replayed, which halves the cost of a launch

class GpuMachine : public PdlpMachine {
 public:
  GpuMachine(const ScaledProgramme& scaled, const PdlpControl& control,
             const std::vector<double>& z, const std::vector<double>& y, int device) {
    cuda::CheckCuda(cudaSetDevice(device), "cudaSetDevice");
    cuda::CheckCuda(cudaStreamCreate(&stream_), "cudaStreamCreate");
    const auto upload = [this](const auto& values) { return Upload(values); };
    SetPdlpArrays(scaled, z, y, upload, upload, args_);
    args_.control = Upload(std::vector<PdlpControl>{control});
    args_.facts = Upload(std::vector<PdlpFacts>(1));
  }

  ~GpuMachine() override {
    if (graph_) cudaGraphExecDestroy(graph_);
    if (stream_) cudaStreamDestroy(stream_);
  }

  void Iterate(int attempts) override {
    for (; attempts >= kGraphAttempts; attempts -= kGraphAttempts) {
      if (!graph_) Record();
      cuda::CheckCuda(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch");
    }
    if (attempts > 0) cuda::PdlpIterate(args_, attempts, stream_);
  }

  PdlpFacts Measure(PdlpPoint point) override {
    cuda::PdlpMeasure(args_, point, stream_);
    return Download(args_.facts);
  }

  PdlpFacts Restart(PdlpPoint point) override {
    cuda::PdlpRestart(args_, point, stream_);
    return Download(args_.facts);
  }

  PdlpControl control() const override { return Download(args_.control); }

  void SetOmega(double omega) override {
    PdlpControl control = Download(args_.control);
    control.omega = omega;
    cuda::CopyToDevice(args_.control, &control, 1, stream_);
    cuda::CheckCuda(cudaStreamSynchronize(stream_), "PDLP");
  }

  void Read(PdlpPoint point, std::vector<double>& z, std::vector<double>& y) override {
    const int32_t current = control().current;
    const bool average = point == PdlpPoint::kAverage;
    z.resize(args_.columns);
    y.resize(args_.rows);
    cuda::CheckCuda(cudaMemcpy(z.data(), average ? args_.z_average : args_.z[current],
                               z.size() * sizeof(double), cudaMemcpyDeviceToHost),
                    "cudaMemcpy");
    cuda::CheckCuda(cudaMemcpy(y.data(), average ? args_.y_average : args_.y[current],
                               y.size() * sizeof(double), cudaMemcpyDeviceToHost),
                    "cudaMemcpy");
  }

 private:
  template <class T>
  T* Upload(const std::vector<T>& values) {
    return memory_.Upload(values, "device memory for PDLP", stream_);
  }

  template <class T>
  T Download(const T* from) const {
    T value;
    cuda::CopyToHost(&value, from, 1, stream_);
    cuda::CheckCuda(cudaStreamSynchronize(stream_), "PDLP");
    return value;
  }

  void Record() {
    cudaGraph_t graph = nullptr;
    cuda::CheckCuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
                    "cudaStreamCapture");
    cuda::PdlpIterate(args_, kGraphAttempts, stream_);
    cuda::CheckCuda(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    cuda::CheckCuda(status, "cudaGraphInstantiate");
  }

  PdlpArgs args_;
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
  cuda::DeviceConstants memory_;
};

}  // namespace

std::unique_ptr<PdlpMachine> PdlpOnGpu(const ScaledProgramme& programme, const PdlpControl& control,
                                       const std::vector<double>& z, const std::vector<double>& y,
                                       int device) {
  if (!cuda::DeviceAvailable()) return nullptr;
  return std::make_unique<GpuMachine>(programme, control, z, y, device);
}

#else

std::unique_ptr<PdlpMachine> PdlpOnGpu(const ScaledProgramme&, const PdlpControl&,
                                       const std::vector<double>&, const std::vector<double>&,
                                       int) {
  return nullptr;
}

#endif

}  // namespace orchard::place
