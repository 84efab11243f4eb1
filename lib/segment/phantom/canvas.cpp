#include "segment/phantom/canvas.h"

#include <algorithm>

#include "segment/phantom/noise.h"

namespace orchard::segment {
namespace {

// From 0.8 to 1.25.
double Factor(data::RandomStream& random) { return 0.8 + 0.45 * random.Uniform(); }

}  // namespace

Canvas::Canvas(const volume::Size3& size, const volume::Spacing3& spacing, const PhantomLook& look,
               uint64_t seed, uint64_t subject, data::RandomStream& random)
    : image(SmoothNoise(size, spacing, static_cast<double>(size[0]) * spacing[0] / 8, kTexture,
                        size[2] == 1 ? Edges::kStrong : Edges::kEven, random)),
      labels(image.size()),
      size_(size),
      spacing_(spacing),
      look_(look),
      seed_(seed),
      subject_(subject) {
  if (look.warp) warp_.emplace(size, spacing, seed, subject);
}

Phantom Canvas::Finish(data::RandomStream& random) && {
  for (double& v : image) v += look_.noise * random.Normal();
  data::RandomStream scanner(seed_, "phantom scanner", subject_);
  const double gain = Factor(scanner), gamma = Factor(scanner);
  if (look_.gamma) {
    const auto [low, high] = std::minmax_element(image.begin(), image.end());
    const double from = *low, range = std::max(1e-8, *high - *low);
    for (double& v : image) v = from + range * std::pow((v - from) / range, gamma);
  }
  if (look_.gain) {
    for (double& v : image) v *= gain;
  }
  Phantom phantom{.size = size_, .spacing = spacing_, .labels = std::move(labels)};
  phantom.image.assign(image.begin(), image.end());
  return phantom;
}

}  // namespace orchard::segment
