// From a network's logits to a label map on the image's grid: trilinear interpolation of all
// classes and the largest of them, in one pass, without a full-size volume of logits.
//
// Weights are convex: where one class leads at all eight corners of a cell it leads everywhere in
// it. So each plane of logits is read once for its leaders, and only cells with several leaders are
// interpolated, in all classes (one that leads at no corner may lead inside). The result is that of
// interpolating everything, to the last bit: a leader counts only where it leads by more than
// rounding can take away.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "volume/sampling.h"
#include "volume/shape.h"

namespace orchard::volume {

struct LabelExportArgs {
  const char* name = "logits";
  int64_t classes = 0;             // up to 65534
  std::array<LinearAxis, 3> axes;  // inputs: the logits' size; outputs: the region's
  Size3 size = {0, 0, 0};          // of the label map
  Size3 at = {0, 0, 0};            // where the region begins in it; the rest is not written
  bool shortcut = true;            // false: interpolate every cell
};

// Interpolates along k, then j, then i (volume/export_element.h); of equal classes the lowest wins;
// one that is not a number never does. L: uint8_t (up to 256 classes) or uint16_t.
//
// Planes come in order, in as many parts as wanted; one plane is remembered between them.
template <class L>
class LabelExporter {
 public:
  // Throws UsageError when sizes do not fit or axis k runs backwards.
  LabelExporter(const LabelExportArgs& args, L* labels, ThreadPool& pool);

  // Planes [first, first + count) of the logits: class c begins at c * channel_stride.
  void Feed(int64_t first, int64_t count, const float* logits, int64_t channel_stride);

  // Outputs that were interpolated, of all that were written.
  double InterpolatedShare() const;

 private:
  // One plane of every class, and the class that leads at each of its voxels.
  struct Plane {
    const float* logits = nullptr;
    int64_t stride = 0;
    std::vector<uint16_t> leader;  // kNone: too close to call
  };
  void FindLeaders(Plane& plane);
  void WriteCells(int64_t cell, const Plane& low, const Plane& high);
  void WriteRow(const Plane& low, const Plane& high, const uint16_t* cells, int64_t out_k,
                int64_t out_j, float* room, int64_t& interpolated) const;

  LabelExportArgs args_;
  L* labels_;
  ThreadPool& pool_;
  int64_t next_plane_ = 0, next_out_ = 0;
  int64_t padded_ = 0;  // classes, in whole vectors
  std::vector<int64_t>
      first_out_;  // along i: outputs of cell x are [first_out_[x], first_out_[x+1])
  Plane last_;
  std::vector<float> kept_;  // the logits of `last_` between two parts
  int64_t interpolated_ = 0, written_ = 0;
};

// All planes at once: logits [classes, K, J, I].
template <class L>
void ExportLabels(const LabelExportArgs& args, const float* logits, L* labels, ThreadPool& pool) {
  LabelExporter<L> exporter(args, labels, pool);
  const int64_t plane = args.axes[0].inputs * args.axes[1].inputs;
  exporter.Feed(0, args.axes[2].inputs, logits, plane * args.axes[2].inputs);
}

}  // namespace orchard::volume
