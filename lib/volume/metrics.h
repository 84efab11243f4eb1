// How well a segmentation agrees with a reference. The definitions, and where other packages
// differ: docs/methods/siamese-seg.md, Metrics.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "volume/shape.h"
#include "volume/surface.h"

namespace orchard::volume {

// What counts as one structure: voxels with any of `labels`.
struct Region {
  std::string name;
  std::vector<int64_t> labels;
};

// Whose conventions to follow where packages differ.
enum class Compatibility {
  kNone,      // those of the documentation
  kDeepmind,  // surface-distance: a distance to nothing is infinite
  kMedpy  // MedPy: surface voxels; HD95 from both lists pooled; its assd is the mean of two means
};

struct MetricOptions {
  SurfaceKind surface = SurfaceKind::kSurfel;
  Compatibility compatibility = Compatibility::kNone;
  std::vector<double> tolerances = {1};  // of the NSD, mm
  bool distances = true;                 // false: overlap and volumes only
};

// Of one region. NaN: not defined (both masks empty, a quotient with 0). Distances in mm.
struct Metrics {
  int64_t true_positives = 0, false_positives = 0, false_negatives = 0, true_negatives = 0;
  bool prediction_empty = false, reference_empty = false;
  double dice, iou, precision, recall;
  double volume_similarity;           // 1 - |Vp - Vr| / (Vp + Vr)
  double relative_volume_difference;  // (Vp - Vr) / Vr
  double volume_ml, reference_ml;     // millilitres
  double hd, hd95, hd95_pooled;       // Hausdorff: the maximum, the larger 95th percentile, pooled
  double assd, masd;                  // over both surfaces at once; mean of the two means
  std::vector<double> nsd;            // per tolerance

  int64_t PredictionVoxels() const { return true_positives + false_positives; }
  int64_t ReferenceVoxels() const { return true_positives + false_negatives; }
};

// Label maps [size] with labels up to 65535; one result per region.
std::vector<Metrics> CompareLabels(std::span<const uint16_t> prediction,
                                   std::span<const uint16_t> reference, const Size3& size,
                                   const Spacing3& spacing, std::span<const Region> regions,
                                   const MetricOptions& options, ThreadPool& pool);

// The labels other than 0 that occur in a label map, ascending.
std::vector<int64_t> LabelsIn(std::span<const uint16_t> labels);

}  // namespace orchard::volume
