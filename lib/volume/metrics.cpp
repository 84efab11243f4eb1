#include "volume/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace orchard::volume {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Which regions a label belongs to, as indices; labels of no region have an empty list.
class Membership {
 public:
  explicit Membership(std::span<const Region> regions) : of_(65536) {
    for (size_t r = 0; r < regions.size(); ++r) {
      for (int64_t label : regions[r].labels) {
        if (label < 0 || label > 65535)
          throw UsageError("label " + std::to_string(label) + " is not in 0..65535",
                           regions[r].name);
        std::vector<int32_t>& list = of_[static_cast<size_t>(label)];
        if (list.empty() || list.back() != static_cast<int32_t>(r))
          list.push_back(static_cast<int32_t>(r));
      }
    }
  }
  const std::vector<int32_t>& operator[](uint16_t label) const { return of_[label]; }

 private:
  std::vector<std::vector<int32_t>> of_;
};

// Voxel counts and the box around both masks of one region.
struct Counts {
  int64_t both = 0, prediction = 0, reference = 0;
  Box box = {{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max(),
              std::numeric_limits<int64_t>::max()},
             {0, 0, 0}};

  void Include(int64_t begin, int64_t end, int64_t j, int64_t k) {
    box.lo = {std::min(box.lo[0], begin), std::min(box.lo[1], j), std::min(box.lo[2], k)};
    box.hi = {std::max(box.hi[0], end), std::max(box.hi[1], j + 1), std::max(box.hi[2], k + 1)};
  }
  void Add(const Counts& other) {
    both += other.both;
    prediction += other.prediction;
    reference += other.reference;
    for (size_t a = 0; a < 3; ++a) {
      box.lo[a] = std::min(box.lo[a], other.box.lo[a]);
      box.hi[a] = std::max(box.hi[a], other.box.hi[a]);
    }
  }
};

// Counts one plane, run by run of equal pairs of labels.
void CountPlane(const uint16_t* prediction, const uint16_t* reference, const Size3& size, int64_t k,
                const Membership& regions, std::vector<Counts>& counts) {
  for (int64_t j = 0; j < size[1]; ++j) {
    const uint16_t *p = prediction + IndexOf(size, 0, j, k),
                   *r = reference + IndexOf(size, 0, j, k);
    for (int64_t begin = 0, end = 0; begin < size[0]; begin = end) {
      while (end < size[0] && p[end] == p[begin] && r[end] == r[begin]) ++end;
      const std::vector<int32_t>&of_p = regions[p[begin]], &of_r = regions[r[begin]];
      for (int32_t region : of_p) {
        Counts& c = counts[static_cast<size_t>(region)];
        c.prediction += end - begin;
        if (std::find(of_r.begin(), of_r.end(), region) != of_r.end()) c.both += end - begin;
        c.Include(begin, end, j, k);
      }
      for (int32_t region : of_r) {
        Counts& c = counts[static_cast<size_t>(region)];
        c.reference += end - begin;
        c.Include(begin, end, j, k);
      }
    }
  }
}

std::vector<Counts> CountAll(std::span<const uint16_t> prediction,
                             std::span<const uint16_t> reference, const Size3& size,
                             const Membership& membership, size_t regions, ThreadPool& pool) {
  const int64_t slabs = std::min<int64_t>(size[2], int64_t{4} * pool.threads());
  std::vector<std::vector<Counts>> parts(static_cast<size_t>(slabs), std::vector<Counts>(regions));
  pool.ForEach(slabs, [&](int64_t s) {
    for (int64_t k = size[2] * s / slabs; k < size[2] * (s + 1) / slabs; ++k)
      CountPlane(prediction.data(), reference.data(), size, k, membership,
                 parts[static_cast<size_t>(s)]);
  });
  std::vector<Counts> counts(regions);
  for (const std::vector<Counts>& part : parts)
    for (size_t r = 0; r < regions; ++r) counts[r].Add(part[r]);
  return counts;
}

// The mask of a region within a box.
std::vector<uint8_t> MaskOf(std::span<const uint16_t> labels, const Size3& size, const Box& box,
                            const Region& region) {
  std::vector<uint8_t> inside(65536, 0);
  for (int64_t label : region.labels) inside[static_cast<size_t>(label)] = 1;
  const Size3 n = box.size();
  std::vector<uint8_t> mask(static_cast<size_t>(Voxels(n)));
  for (int64_t k = 0; k < n[2]; ++k) {
    for (int64_t j = 0; j < n[1]; ++j) {
      const uint16_t* const row =
          labels.data() + IndexOf(size, box.lo[0], box.lo[1] + j, box.lo[2] + k);
      uint8_t* const out = mask.data() + IndexOf(n, 0, j, k);
      for (int64_t i = 0; i < n[0]; ++i) out[i] = inside[row[i]];
    }
  }
  return mask;
}

double Quotient(double a, double b) { return b == 0 ? kNone : a / b; }

void Overlap(const Counts& counts, int64_t voxels, const Spacing3& spacing, Metrics& m) {
  m.true_positives = counts.both;
  m.false_positives = counts.prediction - counts.both;
  m.false_negatives = counts.reference - counts.both;
  m.true_negatives = voxels - counts.prediction - m.false_negatives;
  m.prediction_empty = counts.prediction == 0;
  m.reference_empty = counts.reference == 0;
  const auto both = static_cast<double>(counts.both);
  const auto prediction = static_cast<double>(counts.prediction);
  const auto reference = static_cast<double>(counts.reference);
  m.dice = Quotient(2 * both, prediction + reference);
  m.iou = Quotient(both, prediction + reference - both);
  m.precision = Quotient(both, prediction);
  m.recall = Quotient(both, reference);
  m.volume_similarity = 1 - Quotient(std::abs(prediction - reference), prediction + reference);
  m.relative_volume_difference = Quotient(prediction - reference, reference);
  const double millilitres = spacing[0] * spacing[1] * spacing[2] / 1000;
  m.volume_ml = prediction * millilitres;
  m.reference_ml = reference * millilitres;
}

// Distances where a mask is empty.
void DistancesToNothing(const Size3& size, const Spacing3& spacing, const MetricOptions& options,
                        Metrics& m) {
  double distance = kNone;
  if (m.prediction_empty != m.reference_empty) {
    double squares = 0;
    for (size_t a = 0; a < 3; ++a) {
      const double length = static_cast<double>(size[a]) * spacing[a];
      squares += length * length;
    }
    distance = options.compatibility == Compatibility::kDeepmind
                   ? std::numeric_limits<double>::infinity()
                   : std::sqrt(squares);
  }
  m.hd = m.hd95 = m.hd95_pooled = m.assd = m.masd = distance;
  m.nsd.assign(options.tolerances.size(), m.prediction_empty && m.reference_empty ? kNone : 0);
}

void Distances(const SurfacePair& pair, const MetricOptions& options, Metrics& m) {
  const SurfaceDistances &r = pair.reference_to_prediction, &p = pair.prediction_to_reference;
  const double area = TotalArea(r) + TotalArea(p);
  m.hd = std::max(r.distance.back(), p.distance.back());
  SurfaceDistances both;
  both.distance.resize(r.distance.size() + p.distance.size());
  std::merge(r.distance.begin(), r.distance.end(), p.distance.begin(), p.distance.end(),
             both.distance.begin());
  m.hd95_pooled = Quantile(both.distance, 0.95);
  m.hd95 = options.surface == SurfaceKind::kSurfel
               ? std::max(AreaPercentile(r, 0.95), AreaPercentile(p, 0.95))
               : std::max(Quantile(r.distance, 0.95), Quantile(p.distance, 0.95));
  m.masd = (MeanDistance(r) + MeanDistance(p)) / 2;
  m.assd = (MeanDistance(r) * TotalArea(r) + MeanDistance(p) * TotalArea(p)) / area;
  if (options.compatibility == Compatibility::kMedpy) {
    m.hd95 = m.hd95_pooled;
    m.assd = m.masd;
  }
  m.nsd.clear();
  for (double tolerance : options.tolerances)
    m.nsd.push_back((AreaWithin(r, tolerance) + AreaWithin(p, tolerance)) / area);
}

}  // namespace

std::vector<Metrics> CompareLabels(std::span<const uint16_t> prediction,
                                   std::span<const uint16_t> reference, const Size3& size,
                                   const Spacing3& spacing, std::span<const Region> regions,
                                   const MetricOptions& given, ThreadPool& pool) {
  if (static_cast<int64_t>(prediction.size()) != Voxels(size) ||
      prediction.size() != reference.size() || Voxels(size) < 1)
    throw UsageError("label maps and size disagree", "metrics");
  MetricOptions options = given;
  if (options.compatibility == Compatibility::kDeepmind) options.surface = SurfaceKind::kSurfel;
  if (options.compatibility == Compatibility::kMedpy) options.surface = SurfaceKind::kVoxel;
  const std::vector<Counts> counts =
      CountAll(prediction, reference, size, Membership(regions), regions.size(), pool);
  std::vector<Metrics> results;
  for (size_t r = 0; r < regions.size(); ++r) {
    Metrics m;
    Overlap(counts[r], Voxels(size), spacing, m);
    DistancesToNothing(size, spacing, options, m);
    if (!options.distances) {
      m.hd = m.hd95 = m.hd95_pooled = m.assd = m.masd = kNone;
      m.nsd.clear();
    } else if (!m.prediction_empty && !m.reference_empty) {
      const Box& box = counts[r].box;
      Distances(CompareSurfaces(MaskOf(prediction, size, box, regions[r]),
                                MaskOf(reference, size, box, regions[r]), box.size(), spacing,
                                options.surface, FlatAxis(size), pool),
                options, m);
    }
    results.push_back(std::move(m));
  }
  return results;
}

std::vector<int64_t> LabelsIn(std::span<const uint16_t> labels) {
  std::vector<uint8_t> seen(65536, 0);
  for (uint16_t label : labels) seen[label] = 1;
  std::vector<int64_t> found;
  for (int64_t label = 1; label < 65536; ++label)
    if (seen[static_cast<size_t>(label)] != 0) found.push_back(label);
  return found;
}

}  // namespace orchard::volume
