#include "volume/device_windows.h"

#include "base/error.h"

#if ORCHARD_HAVE_CUDA

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cuda/base/device_memory.h"
#include "cuda/volume/label_export.h"
#include "cuda/volume/sliding_window.h"

namespace orchard::volume {
namespace {

using cuda::AllocateOnDevice;
using cuda::CheckCuda;
using cuda::DeviceMemory;

cudaStream_t StreamOf(const DeviceStream& where) { return static_cast<cudaStream_t>(where.stream); }

void Enter(const DeviceStream& where) { CheckCuda(cudaSetDevice(where.device), "cudaSetDevice"); }

// `values` on the device. Pageable memory: the copy has left it on return.
template <class T>
DeviceMemory<T> Upload(const T* values, int64_t count, const char* what, cudaStream_t stream) {
  DeviceMemory<T> memory = AllocateOnDevice<T>(count, what);
  cuda::CopyToDevice(memory.get(), values, count, stream);
  return memory;
}

void CopyOnDevice(float* to, const float* from, int64_t count, cudaStream_t stream) {
  if (count == 0) return;
  CheckCuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float),
                            cudaMemcpyDeviceToDevice, stream),
            "copy on the device");
}

}  // namespace

// ---- image

struct DeviceImage::State {
  DeviceStream where;
  int64_t channels;
  Size3 size;
  DeviceMemory<float> values;
};

DeviceImage::DeviceImage(const float* image, int64_t channels, const Size3& size,
                         const DeviceStream& where) {
  Enter(where);
  state_ = std::make_unique<State>(
      State{where, channels, size,
            Upload(image, channels * Voxels(size), "image on the device", StreamOf(where))});
}

DeviceImage::~DeviceImage() = default;

void DeviceImage::Gather(const Size3& patch, const Size3& start, float* device) const {
  Enter(state_->where);
  cuda::WindowArgs args;
  args.name = "image";
  args.channels = state_->channels;
  std::copy(state_->size.begin(), state_->size.end(), args.size);
  std::copy(patch.begin(), patch.end(), args.patch);
  std::copy(start.begin(), start.end(), args.start);
  args.volume = state_->values.get();
  args.window = device;
  cuda::GatherWindow(args, StreamOf(state_->where));
}

// ---- sum

struct DeviceWindowSum::State {
  WindowGrid grid;
  int64_t channels;
  DeviceStream where;
  Sink sink;
  int64_t next = 0, base = 0, depth = 0;
  std::array<DeviceMemory<float>, 3> weights, inverse;
  DeviceMemory<float> sum, spare, out;  // [channels, depth, J, I]

  int64_t plane() const { return grid.size[0] * grid.size[1]; }
  int64_t elements() const { return channels * depth * plane(); }
  cudaStream_t stream() const { return StreamOf(where); }
  void Clear(float* memory) const {
    CheckCuda(cudaMemsetAsync(memory, 0, static_cast<size_t>(elements()) * sizeof(float), stream()),
              "cudaMemsetAsync");
  }
};

DeviceWindowSum::DeviceWindowSum(const WindowGrid& grid, int64_t channels,
                                 const DeviceStream& where, Sink sink) {
  Enter(where);
  state_ = std::make_unique<State>(State{grid, channels, where, std::move(sink)});
  State& s = *state_;
  for (size_t a = 0; a < 3; ++a) {
    const std::vector<float> weights = GaussianWeights(grid.patch[a]);
    std::vector<float> inverse = WeightSums(grid.starts[a], weights, grid.size[a]);
    for (float& sum : inverse) sum = 1 / sum;
    s.weights[a] = Upload(weights.data(), std::ssize(weights), "window weights", s.stream());
    s.inverse[a] = Upload(inverse.data(), std::ssize(inverse), "window weights", s.stream());
  }
  s.depth = std::min(grid.patch[2], grid.size[2]);
  for (DeviceMemory<float>* memory : {&s.sum, &s.spare, &s.out})
    *memory = AllocateOnDevice<float>(s.elements(), "sums of windows");
  s.Clear(s.sum.get());
}

DeviceWindowSum::~DeviceWindowSum() = default;

void DeviceWindowSum::Add(const float* device) {
  State& s = *state_;
  if (s.next >= s.grid.count()) throw UsageError("more windows than the grid has", "windows");
  Enter(s.where);
  const Size3 start = s.grid.Start(s.next);
  Flush(std::max<int64_t>(0, start[2]));
  cuda::WindowArgs args;
  args.name = "logits";
  args.channels = s.channels;
  for (size_t a = 0; a < 3; ++a) {
    args.size[a] = a == 2 ? s.depth : s.grid.size[a];
    args.patch[a] = s.grid.patch[a];
    args.start[a] = a == 2 ? start[2] - s.base : start[a];
    args.weights[a] = s.weights[a].get();
  }
  args.volume = s.sum.get();
  args.window = const_cast<float*>(device);  // AddWindow reads it
  cuda::AddWindow(args, s.stream());
  if (++s.next == s.grid.count()) Flush(s.grid.size[2]);
}

// Hands out the planes before `until`, which are complete, and makes room for as many new ones.
void DeviceWindowSum::Flush(int64_t until) {
  State& s = *state_;
  const int64_t count = until - s.base;
  if (count <= 0) return;
  const int64_t plane = s.plane(), channel = s.depth * plane, kept = (s.depth - count) * plane;
  for (int64_t c = 0; c < s.channels; ++c)
    CopyOnDevice(s.out.get() + c * count * plane, s.sum.get() + c * channel, count * plane,
                 s.stream());
  cuda::NormalizeArgs args;
  args.name = "logits";
  args.channels = s.channels;
  for (size_t a = 0; a < 3; ++a) {
    args.size[a] = a == 2 ? count : s.grid.size[a];
    args.inverse[a] = s.inverse[a].get() + (a == 2 ? s.base : 0);
  }
  args.volume = s.out.get();
  cuda::NormalizeWindows(args, s.stream());
  s.sink(s.base, count, s.out.get());
  s.Clear(s.spare.get());
  for (int64_t c = 0; c < s.channels; ++c)
    CopyOnDevice(s.spare.get() + c * channel, s.sum.get() + c * channel + count * plane, kept,
                 s.stream());
  std::swap(s.sum, s.spare);
  s.base = until;
}

// ---- labels

struct DeviceLabelExporter::State {
  LabelExportArgs args;
  uint8_t* labels;
  DeviceStream where;
  int64_t next_plane = 0, next_out = 0;
  std::array<DeviceMemory<int32_t>, 2> low;  // of axes i and j
  std::array<DeviceMemory<float>, 3> weight;
  DeviceMemory<float> last;  // the last plane of every class

  cudaStream_t stream() const { return StreamOf(where); }
  int64_t plane() const { return args.axes[0].inputs * args.axes[1].inputs; }
  void Export(int64_t first, int64_t planes, int64_t outputs, const float* logits);
};

DeviceLabelExporter::DeviceLabelExporter(const LabelExportArgs& args, uint8_t* labels,
                                         const DeviceStream& where) {
  if (args.classes < 1 || args.classes > 256) {
    throw UsageError("cannot export " + std::to_string(args.classes) + " classes", args.name,
                     "1 to 256 fit the label map");
  }
  Enter(where);
  state_ = std::make_unique<State>(State{args, labels, where});
  State& s = *state_;
  for (size_t a = 0; a < 3; ++a) {
    const LinearAxis& axis = args.axes[a];
    if (a < 2) s.low[a] = Upload(axis.low.data(), axis.outputs(), "axis", s.stream());
    s.weight[a] = Upload(axis.weight.data(), axis.outputs(), "axis", s.stream());
  }
  s.last = AllocateOnDevice<float>(args.classes * s.plane(), "a plane of logits");
}

DeviceLabelExporter::~DeviceLabelExporter() = default;

void DeviceLabelExporter::Feed(int64_t first, int64_t count, const float* device) {
  State& s = *state_;
  const LinearAxis& axis = s.args.axes[2];
  if (first != s.next_plane || count < 1 || first + count > axis.inputs)
    throw UsageError("planes come in order, each once", s.args.name);
  Enter(s.where);
  s.next_plane += count;
  // The plane before these belongs to the cells between both.
  const int64_t kept = first > 0 ? 1 : 0, planes = kept + count, plane = s.plane();
  const DeviceMemory<float> logits =
      AllocateOnDevice<float>(s.args.classes * planes * plane, "planes of logits");
  for (int64_t c = 0; c < s.args.classes; ++c) {
    float* const to = logits.get() + c * planes * plane;
    if (kept > 0) CopyOnDevice(to, s.last.get() + c * plane, plane, s.stream());
    CopyOnDevice(to + kept * plane, device + c * count * plane, count * plane, s.stream());
    CopyOnDevice(s.last.get() + c * plane, device + (c * count + count - 1) * plane, plane,
                 s.stream());
  }
  // Cells up to the one before the last plane are complete; a volume of one plane is its own cell.
  const int64_t cells = axis.inputs == 1 ? 1 : first + count - 1;
  int64_t end = s.next_out;
  while (end < axis.outputs() && axis.low[static_cast<size_t>(end)] < cells) ++end;
  if (end > s.next_out) s.Export(first - kept, planes, end - s.next_out, logits.get());
  CheckCuda(cudaStreamSynchronize(s.stream()), "export of labels");
  s.next_out = end;
}

// Writes `outputs` planes of the label map from `planes` planes of logits that begin at `first`.
void DeviceLabelExporter::State::Export(int64_t first, int64_t planes, int64_t outputs,
                                        const float* logits) {
  const LinearAxis& axis = args.axes[2];
  std::vector<int32_t> low_k;
  for (int64_t k = next_out; k < next_out + outputs; ++k)
    low_k.push_back(axis.low[static_cast<size_t>(k)] - static_cast<int32_t>(first));
  const DeviceMemory<int32_t> low_on_device = Upload(low_k.data(), outputs, "axis", stream());
  cuda::LabelExportArgs a;
  a.name = args.name;
  a.classes = args.classes;
  for (size_t x = 0; x < 3; ++x) {
    a.from[x] = x == 2 ? planes : args.axes[x].inputs;
    a.to[x] = x == 2 ? outputs : args.axes[x].outputs();
    a.low[x] = x == 2 ? low_on_device.get() : low[x].get();
    a.weight[x] = weight[x].get() + (x == 2 ? next_out : 0);
  }
  const DeviceMemory<uint16_t> leader = AllocateOnDevice<uint16_t>(planes * plane(), "leaders");
  const int64_t rows = a.to[1] * outputs;
  const DeviceMemory<uint16_t> found = AllocateOnDevice<uint16_t>(a.to[0] * rows, "labels");
  a.logits = logits;
  a.leader = leader.get();
  a.labels = found.get();
  cuda::ExportLabels(a, stream());
  std::vector<uint16_t> host(static_cast<size_t>(a.to[0] * rows));
  cuda::CopyToHost(host.data(), found.get(), std::ssize(host), stream());
  CheckCuda(cudaStreamSynchronize(stream()), "export of labels");
  for (int64_t row = 0; row < rows; ++row) {
    const uint16_t* const from = host.data() + row * a.to[0];
    uint8_t* const to = labels + IndexOf(args.size, args.at[0], args.at[1] + row % a.to[1],
                                         args.at[2] + next_out + row / a.to[1]);
    for (int64_t i = 0; i < a.to[0]; ++i) to[i] = static_cast<uint8_t>(from[i]);
  }
}

}  // namespace orchard::volume

#else

namespace orchard::volume {
namespace {

[[noreturn]] void NoCuda() {
  throw ResourceError("this build has no CUDA kernels", "--device", "use --device cpu");
}

}  // namespace

struct DeviceImage::State {};
struct DeviceWindowSum::State {};
struct DeviceLabelExporter::State {};

DeviceImage::DeviceImage(const float*, int64_t, const Size3&, const DeviceStream&) { NoCuda(); }
DeviceImage::~DeviceImage() = default;
void DeviceImage::Gather(const Size3&, const Size3&, float*) const { NoCuda(); }
DeviceWindowSum::DeviceWindowSum(const WindowGrid&, int64_t, const DeviceStream&, Sink) {
  NoCuda();
}
DeviceWindowSum::~DeviceWindowSum() = default;
void DeviceWindowSum::Add(const float*) { NoCuda(); }
void DeviceWindowSum::Flush(int64_t) { NoCuda(); }
DeviceLabelExporter::DeviceLabelExporter(const LabelExportArgs&, uint8_t*, const DeviceStream&) {
  NoCuda();
}
DeviceLabelExporter::~DeviceLabelExporter() = default;
void DeviceLabelExporter::Feed(int64_t, int64_t, const float*) { NoCuda(); }

}  // namespace orchard::volume

#endif
