#include "segment/label_copy.h"

#include <algorithm>

namespace orchard::segment {

std::vector<uint8_t> CopyLabels(const PreparedCase& example, const volume::Size3& size) {
  const volume::Size3& from = example.image.size;
  std::vector<uint8_t> labels;
  labels.reserve(static_cast<size_t>(volume::Voxels(size)));
  for (int64_t k = 0; k < size[2]; ++k) {
    const int64_t fk = (2 * k + 1) * from[2] / (2 * size[2]);
    for (int64_t j = 0; j < size[1]; ++j) {
      const int64_t fj = (2 * j + 1) * from[1] / (2 * size[1]);
      for (int64_t i = 0; i < size[0]; ++i) {
        const int64_t fi = (2 * i + 1) * from[0] / (2 * size[0]);
        labels.push_back(example.labels[static_cast<size_t>(volume::IndexOf(from, fi, fj, fk))]);
      }
    }
  }
  return labels;
}

std::vector<uint8_t> VoteLabels(std::span<const PreparedCase> cases,
                                std::span<const size_t> examples, const volume::Size3& size,
                                int64_t classes) {
  const auto voxels = static_cast<size_t>(volume::Voxels(size));
  const auto labels = static_cast<size_t>(classes) + 1;
  std::vector<uint16_t> votes(voxels * labels);
  for (const size_t n : examples) {
    const std::vector<uint8_t> copy = CopyLabels(cases[n], size);
    for (size_t v = 0; v < voxels; ++v) ++votes[v * labels + copy[v]];
  }
  std::vector<uint8_t> winners(voxels);
  for (size_t v = 0; v < voxels; ++v) {
    const auto first = votes.begin() + static_cast<int64_t>(v * labels);
    winners[v] =
        static_cast<uint8_t>(std::max_element(first, first + static_cast<int64_t>(labels)) - first);
  }
  return winners;
}

std::vector<uint8_t> OnWholeScan(std::span<const uint8_t> labels, const CaseFrame& frame) {
  std::vector<uint8_t> whole(static_cast<size_t>(volume::Voxels(frame.whole)));
  const volume::Box& box = frame.crop;
  const volume::Size3 size = box.size();
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      const int64_t from = volume::IndexOf(size, 0, j, k);
      const int64_t to = volume::IndexOf(frame.whole, box.lo[0], box.lo[1] + j, box.lo[2] + k);
      std::copy_n(labels.begin() + from, size[0], whole.begin() + to);
    }
  }
  return whole;
}

}  // namespace orchard::segment
