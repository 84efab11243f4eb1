#include "segment/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "segment/template_choice.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using volume::Size3;

bool HasForeground(const Patch& patch) {
  return std::any_of(patch.labels.begin(), patch.labels.end(),
                     [](uint8_t v) { return v > 0 && v != 255; });
}

// A start anywhere that keeps the window in the image.
int64_t AnyStart(int64_t size, int64_t patch, RandomStream& random) {
  if (size <= patch) return ClampStart(0, size, patch);
  return random.Below(static_cast<uint64_t>(size - patch + 1));
}

}  // namespace

Sampler::Sampler(std::span<const PreparedCase> cases, const Plan& plan,
                 const SamplingOptions& sampling, const AugmentOptions& augment, uint64_t seed,
                 bool with_templates)
    : cases_(cases),
      plan_(plan),
      sampling_(sampling),
      augment_(augment),
      seed_(seed),
      with_templates_(with_templates) {
  if (cases.empty()) throw ImpossibleError("there is no case to train on");
  others_.resize(cases.size());
  if (!with_templates) return;
  for (size_t n = 0; n < cases.size(); ++n) {
    std::vector<double> similarity(cases.size());
    for (size_t m = 0; m < cases.size(); ++m) {
      if (cases[m].subject == cases[n].subject || cases[m].group != cases[n].group) continue;
      similarity[m] = Similarity(cases[n].thumbnail, cases[m].thumbnail);
      others_[n].push_back(m);
    }
    std::stable_sort(others_[n].begin(), others_[n].end(),
                     [&](size_t a, size_t b) { return similarity[a] > similarity[b]; });
    if (others_[n].empty() && sampling.p_self < 1) {
      throw ImpossibleError("there is no template of another subject for " + cases[n].id, "",
                            "train with two subjects or more, or with sampling.p_self = 1");
    }
  }
}

size_t Sampler::DrawTemplate(size_t target, RandomStream& random) const {
  const double u = random.Uniform();
  if (u < sampling_.p_self) return target;
  const std::vector<size_t>& others = others_[target];
  uint64_t among = others.size();
  if (u < sampling_.p_self + sampling_.p_near) {
    among = std::min<uint64_t>(among, static_cast<uint64_t>(sampling_.near));
  }
  const size_t chosen = others[random.Below(among)];
  if (cases_[chosen].subject == cases_[target].subject) {
    throw Error(ExitCode::kInternal, "a template of the target's own subject", cases_[chosen].id);
  }
  return chosen;
}

Size3 Sampler::DrawStart(const PreparedCase& c, RandomStream& random) const {
  Size3 start{};
  std::vector<size_t> present;
  for (size_t k = 0; k < c.foreground.size(); ++k)
    if (!c.foreground[k].empty()) present.push_back(k);
  const bool centred = random.Chance(sampling_.foreground) && !present.empty();
  if (!centred) {
    for (size_t a = 0; a < 3; ++a) start[a] = AnyStart(c.image.size[a], plan_.patch[a], random);
    return start;
  }
  const auto& voxels = c.foreground[present[random.Below(present.size())]];
  int64_t at = voxels[random.Below(voxels.size())];
  for (size_t a = 0; a < 3; ++a) {
    const int64_t index = at % c.image.size[a];
    at /= c.image.size[a];
    start[a] = ClampStart(index - plan_.patch[a] / 2, c.image.size[a], plan_.patch[a]);
  }
  return start;
}

Patch Sampler::CutTemplate(const PreparedCase& target, const Size3& start, bool has_foreground,
                           const PreparedCase& from, RandomStream& random) const {
  constexpr int kTries = 5;
  for (int attempt = 0;; ++attempt) {
    Size3 at = RelativeStart(target.image.body, start, from.image.body, from.image.size,
                             plan_.patch, false);
    for (size_t a = 0; a < 3; ++a) {
      const auto extent = static_cast<double>(from.image.body.size()[a]);
      // A slice moves by one.
      const double reach = plan_.patch[a] == 1 ? 1 : sampling_.jitter * extent;
      const auto shift = std::llround(reach * (2 * random.Uniform() - 1));
      at[a] = ClampStart(at[a] + shift, from.image.size[a], plan_.patch[a]);
    }
    const SpatialChange change =
        DrawSpatialChange(augment_, plan_.patch, plan_.spacing, true, random);
    Patch patch = CutPatch(from.image.values.data(), from.labels.data(), from.image.channels,
                           from.image.size, plan_.patch, at, change);
    if (!has_foreground || HasForeground(patch) || attempt + 1 == kTries) return patch;
  }
}

Sample Sampler::Draw(uint64_t number) const {
  RandomStream random(seed_, "training sample", number);
  Sample sample;
  sample.target_case = random.Below(cases_.size());
  const PreparedCase& target = cases_[sample.target_case];
  const Size3 start = DrawStart(target, random);
  const SpatialChange change =
      DrawSpatialChange(augment_, plan_.patch, plan_.spacing, false, random);
  sample.target = CutPatch(target.image.values.data(), target.labels.data(), target.image.channels,
                           target.image.size, plan_.patch, start, change);
  ChangeValues(augment_, sample.target, random);
  const std::array<bool, 3> mirrored = DrawMirror(augment_, random);
  Mirror(sample.target, mirrored);
  if (!with_templates_) return sample;
  RandomStream example_random(seed_, "template sample", number);
  sample.template_case = DrawTemplate(sample.target_case, example_random);
  const PreparedCase& from = cases_[sample.template_case];
  sample.example = CutTemplate(target, start, HasForeground(sample.target), from, example_random);
  ChangeValues(augment_, sample.example, example_random);
  Mirror(sample.example, mirrored);
  if (sampling_.blank) std::fill(sample.example.labels.begin(), sample.example.labels.end(), 0);
  return sample;
}

}  // namespace orchard::segment
