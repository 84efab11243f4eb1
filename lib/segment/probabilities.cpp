#include "segment/probabilities.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "volume/resize.h"

namespace orchard::segment {

Predictor::Sink KeepLogits(const PreparedImage& image, const Plan& plan,
                           std::vector<float>& logits) {
  const int64_t classes = plan.classes() + 1, plane = image.size[0] * image.size[1];
  const int64_t voxels = plane * image.size[2];
  logits.assign(static_cast<size_t>(classes * voxels), 0);
  return [&logits, classes, plane, voxels](int64_t first, int64_t count, const float* planes) {
    for (int64_t c = 0; c < classes; ++c) {
      std::copy_n(planes + c * count * plane, count * plane,
                  logits.begin() + c * voxels + first * plane);
    }
  };
}

std::vector<float> Probabilities(const std::vector<float>& logits, const PreparedImage& image,
                                 const Plan& plan, ThreadPool& pool) {
  const auto classes = static_cast<size_t>(plan.classes() + 1);
  const auto from = static_cast<size_t>(volume::Voxels(image.size));
  const CaseFrame& frame = image.frame;
  const volume::Size3 size = frame.crop.size();
  volume::Spacing3 target = plan.spacing;
  if (plan.dims == 2) target[2] = frame.spacing[2];
  const volume::Interpolation3 how =
      InterpolationFor(frame.spacing, target, volume::Interpolation::kLinear);
  std::vector<std::vector<float>> of_class(classes);
  for (size_t c = 0; c < classes; ++c) {
    of_class[c] =
        volume::Resize(std::span(logits).subspan(c * from, from), image.size, size, how, pool);
  }
  const auto whole = static_cast<size_t>(volume::Voxels(frame.whole));
  std::vector<float> result(classes * whole);
  std::fill_n(result.begin(), whole, 1.0f);
  std::vector<double> weight(classes);
  size_t at = 0;
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      const int64_t row = volume::IndexOf(frame.whole, frame.crop.lo[0], frame.crop.lo[1] + j,
                                          frame.crop.lo[2] + k);
      for (int64_t i = 0; i < size[0]; ++i, ++at) {
        double most = of_class[0][at], sum = 0;
        for (size_t c = 1; c < classes; ++c) most = std::max<double>(most, of_class[c][at]);
        for (size_t c = 0; c < classes; ++c) sum += weight[c] = std::exp(of_class[c][at] - most);
        for (size_t c = 0; c < classes; ++c)
          result[c * whole + static_cast<size_t>(row + i)] = static_cast<float>(weight[c] / sum);
      }
    }
  }
  return result;
}

}  // namespace orchard::segment
