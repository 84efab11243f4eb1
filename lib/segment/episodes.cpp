#include "segment/episodes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "volume/resize.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using volume::Size3;

constexpr int64_t kFewest = 4, kMost = 8;  // random regions of a volume
constexpr double kFollow = 0.7;            // how much the borders of regions follow an image

template <class T>
void Shuffle(std::vector<T>& values, RandomStream& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.Below(i)]);
}

std::array<int64_t, 256> Histogram(std::span<const uint8_t> labels) {
  std::array<int64_t, 256> count{};
  for (const uint8_t v : labels) ++count[v];
  return count;
}

// `candidates`, shuffled, with those that occur in the template first.
std::vector<int64_t> Order(std::vector<int64_t> candidates, const Patch& example,
                           RandomStream& random) {
  Shuffle(candidates, random);
  const auto count = Histogram(example.labels);
  std::stable_partition(candidates.begin(), candidates.end(),
                        [&](int64_t v) { return count[static_cast<size_t>(v)] > 0; });
  return candidates;
}

void Relabel(Sample& sample, const std::array<uint8_t, 256>& to) {
  for (Patch* const patch : {&sample.target, &sample.example})
    for (uint8_t& v : patch->labels) v = to[v];
}

// The first `classes` of `order` become 1, 2, ...; with `merge` the rest joins them at random.
void Ask(Sample& sample, const std::vector<int64_t>& order, int64_t classes, double merge,
         RandomStream& random) {
  std::array<uint8_t, 256> to{};
  for (int64_t n = 0; n < std::ssize(order); ++n) {
    uint8_t& own = to[static_cast<size_t>(order[static_cast<size_t>(n)])];
    if (n < classes) {
      own = static_cast<uint8_t>(n + 1);
    } else if (random.Chance(merge)) {
      own = static_cast<uint8_t>(1 + random.Below(static_cast<uint64_t>(classes)));
    }
  }
  Relabel(sample, to);
}

// The grey value of each region and channel, a little changed, and noise.
void Paint(Patch& patch, std::span<const double> greys, int64_t channels, double noise,
           RandomStream& random) {
  const auto voxels = patch.labels.size();
  patch.channels = channels;
  patch.image.resize(static_cast<size_t>(channels) * voxels);
  std::vector<double> own(greys.begin(), greys.end());
  for (double& g : own) g += 0.1 * random.Normal();
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    for (size_t i = 0; i < voxels; ++i) {
      const double grey =
          own[static_cast<size_t>(patch.labels[i]) * static_cast<size_t>(channels) + c];
      patch.image[c * voxels + i] = static_cast<float>(grey + noise * random.Normal());
    }
  }
}

}  // namespace

std::vector<uint8_t> RandomRegions(const Size3& size, int64_t regions,
                                   std::span<const float> values, RandomStream& random) {
  const auto voxels = static_cast<size_t>(volume::Voxels(size));
  std::vector<float> best(voxels, -1e30f);
  std::vector<uint8_t> labels(voxels, 0);
  ThreadPool alone(1);
  using volume::Interpolation;
  for (int64_t r = 0; r < regions; ++r) {
    Size3 nodes{};
    for (size_t a = 0; a < 3; ++a) nodes[a] = size[a] == 1 ? 1 : 3 + random.Below(4);
    std::vector<float> lattice(static_cast<size_t>(volume::Voxels(nodes)));
    for (float& v : lattice) v = static_cast<float>(random.Normal());
    const std::vector<float> field = volume::Resize(
        lattice, nodes, size,
        {Interpolation::kLinear, Interpolation::kLinear, Interpolation::kLinear}, alone);
    const auto follow = static_cast<float>(kFollow * random.Normal());
    for (size_t i = 0; i < voxels; ++i) {
      const float score = field[i] + (values.empty() ? 0.0f : follow * values[i]);
      if (score <= best[i]) continue;
      best[i] = score;
      labels[i] = static_cast<uint8_t>(r);
    }
  }
  return labels;
}

EpisodeSampler::EpisodeSampler(const Sampler& sampler, std::span<const PreparedCase> cases,
                               const Plan& plan, const EpisodeOptions& options,
                               const AugmentOptions& augment, uint64_t seed)
    : sampler_(sampler),
      cases_(cases),
      plan_(plan),
      options_(options),
      augment_(augment),
      bend_(augment),
      labels_(options.only_labels),
      seed_(seed) {
  if (options.regions + options.synthetic > 1) {
    throw UsageError("regions and synthetic are more than all steps", "episodes.regions");
  }
  if (labels_.empty())
    for (int64_t v = 1; v <= plan.classes(); ++v) labels_.push_back(v);
  for (const int64_t v : labels_) {
    if (v > plan.classes()) {
      throw UsageError("the plan has no label " + std::to_string(v), "episodes.only_labels");
    }
  }
  // Two versions of one thing differ always.
  bend_.enabled = true;
  bend_.rotate = bend_.scale = bend_.elastic = 1;
}

Episode EpisodeSampler::ForStep(int64_t step) const {
  RandomStream random(seed_, "episode", static_cast<uint64_t>(step));
  const double u = random.Uniform();
  Episode episode;
  if (u < options_.synthetic) {
    episode.kind = EpisodeKind::kSynthetic;
  } else if (u < options_.synthetic + options_.regions) {
    episode.kind = EpisodeKind::kRegions;
  }
  // Of random regions one at least is the rest.
  const int64_t there = episode.kind == EpisodeKind::kLabels ? std::ssize(labels_) : kFewest - 1;
  episode.classes = 1 + random.Below(static_cast<uint64_t>(std::min(options_.most_classes, there)));
  return episode;
}

Patch EpisodeSampler::Cut(const PreparedCase& from, std::span<const uint8_t> labels,
                          const Size3& start, RandomStream& random) const {
  const SpatialChange change = DrawSpatialChange(bend_, plan_.patch, plan_.spacing, true, random);
  return CutPatch(from.image.values.data(), labels.data(), from.image.channels, from.image.size,
                  plan_.patch, start, change);
}

Sample EpisodeSampler::DrawRegions(uint64_t number, int64_t classes) const {
  RandomStream random(seed_, "regions sample", number);
  Sample sample;
  sample.target_case = sample.template_case = random.Below(cases_.size());
  const PreparedCase& c = cases_[sample.target_case];
  const auto voxels = static_cast<size_t>(volume::Voxels(c.image.size));
  const int64_t regions = kFewest + random.Below(kMost - kFewest + 1);
  const std::vector<uint8_t> labels = RandomRegions(
      c.image.size, regions, std::span<const float>(c.image.values).first(voxels), random);
  Size3 start{};
  for (size_t a = 0; a < 3; ++a) {
    const int64_t room = c.image.size[a] - plan_.patch[a];
    start[a] = room > 0 ? random.Below(static_cast<uint64_t>(room + 1)) : -(-room / 2);
  }
  sample.target = Cut(c, labels, start, random);
  sample.example = Cut(c, labels, start, random);
  ChangeValues(augment_, sample.target, random);
  ChangeValues(augment_, sample.example, random);
  std::vector<int64_t> order;
  for (int64_t r = 0; r < regions; ++r) order.push_back(r);
  order = Order(order, sample.example, random);
  Ask(sample, order, classes, 0, random);
  return sample;
}

Sample EpisodeSampler::DrawSynthetic(uint64_t number, int64_t classes) const {
  RandomStream random(seed_, "synthetic sample", number);
  const int64_t regions = kFewest + random.Below(kMost - kFewest + 1);
  const std::vector<uint8_t> labels = RandomRegions(plan_.patch, regions, {}, random);
  const auto channels = static_cast<int64_t>(plan_.channels.size());
  std::vector<double> greys(static_cast<size_t>(regions * channels));
  for (double& g : greys) g = 3 * random.Uniform() - 1.5;
  const double noise = 0.05 + 0.4 * random.Uniform();
  const std::vector<float> nothing(labels.size(), 0.0f);
  const auto draw = [&] {
    const SpatialChange change = DrawSpatialChange(bend_, plan_.patch, plan_.spacing, true, random);
    Patch patch =
        CutPatch(nothing.data(), labels.data(), 1, plan_.patch, plan_.patch, {0, 0, 0}, change);
    Paint(patch, greys, channels, noise, random);
    ChangeValues(augment_, patch, random);
    return patch;
  };
  Sample sample;
  sample.target = draw();
  sample.example = draw();
  // What lies outside a bent map is region 0, which is never asked for.
  std::vector<int64_t> order;
  for (int64_t r = 1; r < regions; ++r) order.push_back(r);
  order = Order(order, sample.example, random);
  Ask(sample, order, classes, 0, random);
  return sample;
}

Sample EpisodeSampler::Draw(uint64_t number, const Episode& episode) const {
  if (episode.kind == EpisodeKind::kRegions) return DrawRegions(number, episode.classes);
  if (episode.kind == EpisodeKind::kSynthetic) return DrawSynthetic(number, episode.classes);
  Sample sample = sampler_.Draw(number);
  RandomStream random(seed_, "labels of a sample", number);
  Ask(sample, Order(labels_, sample.example, random), episode.classes, options_.merge, random);
  return sample;
}

}  // namespace orchard::segment
