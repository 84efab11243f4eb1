// Windows of a volume on a GPU, from the image to the label map: what sliding_window.h and
// label_export.h do on the CPU, with the same bits.
//
// Pointers named `device` lie on the GPU. Everything is enqueued on one stream.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "volume/label_export.h"
#include "volume/sliding_window.h"

namespace orchard::volume {

// Where work runs: a CUDA device and one of its streams (cudaStream_t; null: the default stream).
struct DeviceStream {
  int device = 0;
  void* stream = nullptr;
};

// An image [channels, size] whose windows are cut out on the device.
class DeviceImage {
 public:
  // Copies it there. Throws ResourceError without memory, and where this build has no CUDA.
  DeviceImage(const float* image, int64_t channels, const Size3& size, const DeviceStream& where);
  ~DeviceImage();

  // Fills `device` [channels, patch] as GatherPatch does; 0 outside.
  void Gather(const Size3& patch, const Size3& start, float* device) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// WindowSum on the device.
class DeviceWindowSum {
 public:
  // Receives planes [first, first + count) of all channels as [channels, count, J, I] on the
  // device; they are valid during the call.
  using Sink = std::function<void(int64_t first, int64_t count, const float* device)>;

  // `sink` runs while work is still enqueued: what it does must go on the same stream. Throws
  // ResourceError as above.
  DeviceWindowSum(const WindowGrid& grid, int64_t channels, const DeviceStream& where, Sink sink);
  ~DeviceWindowSum();

  // Adds what was computed for the next window, in the order of the grid: [channels, patch].
  void Add(const float* device);

 private:
  struct State;
  void Flush(int64_t until);
  std::unique_ptr<State> state_;
};

// LabelExporter on the device; the label map is on the host.
class DeviceLabelExporter {
 public:
  // Throws UsageError for more than 256 classes, ResourceError as above. The axes are those that
  // LabelExporter takes.
  DeviceLabelExporter(const LabelExportArgs& args, uint8_t* labels, const DeviceStream& where);
  ~DeviceLabelExporter();

  // Planes [first, first + count) of the logits, [classes, count, J, I], in order. Returns when the
  // labels that they complete are there.
  void Feed(int64_t first, int64_t count, const float* device);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::volume
