// Training in context: each step asks for other classes, so that a network learns to find what a
// template shows instead of a fixed list of structures.
//
// Source: docs/methods/siamese-seg.md (In context); the idea of many random tasks: Butoi et al.,
// UniverSeg, ICCV 2023, and of synthetic images: Hoffmann et al., SynthMorph, 2022.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "segment/sampler.h"

namespace orchard::segment {

struct EpisodeOptions {
  int64_t most_classes = 2;
  std::vector<int64_t> only_labels;
  double merge = 0.2;
  double regions = 0.3;
  double synthetic = 0.2;

  void Fields(cli::FieldVisitor& f) {
    f("most_classes", most_classes,
      "mode in_context: classes that a step asks for, at most (of random regions: three)",
      cli::Between(1, 32));
    f("only_labels", only_labels,
      "mode in_context: labels that steps ask for (default: all); the others are background",
      cli::AtLeast(1));
    f("merge", merge, "probability that a class also takes the labels that were not asked for",
      cli::Between(0, 1));
    f("regions", regions,
      "part of the steps with random regions of an image, which two versions of it share",
      cli::Between(0, 1));
    f("synthetic", synthetic, "part of the steps with synthetic images of random shapes",
      cli::Between(0, 1));
  }
};

enum class EpisodeKind { kLabels, kRegions, kSynthetic };

// What all samples of a step have in common. Their labels are 1 to `classes`.
struct Episode {
  EpisodeKind kind = EpisodeKind::kLabels;
  int64_t classes = 1;
};

// Draws episodes and their samples. An episode depends on (seed, step), a sample on (seed, number,
// episode) alone.
//   kLabels     image and template as Sampler draws them, with a random choice of labels in random
//               order
//   kRegions    one image in two versions, changed independently, with regions whose borders follow
//               random smooth fields and the image's values
//   kSynthetic  random regions, bent twice, each painted with about the same grey values and noise
class EpisodeSampler {
 public:
  // `sampler`, `cases` and `plan` outlive it. Throws UsageError for a label that the plan does not
  // have, and where regions and synthetic are more than all steps.
  EpisodeSampler(const Sampler& sampler, std::span<const PreparedCase> cases, const Plan& plan,
                 const EpisodeOptions& options, const AugmentOptions& augment, uint64_t seed);

  Episode ForStep(int64_t step) const;
  Sample Draw(uint64_t number, const Episode& episode) const;

 private:
  Sample DrawRegions(uint64_t number, int64_t classes) const;
  Sample DrawSynthetic(uint64_t number, int64_t classes) const;
  Patch Cut(const PreparedCase& from, std::span<const uint8_t> labels, const volume::Size3& start,
            data::RandomStream& random) const;

  const Sampler& sampler_;
  std::span<const PreparedCase> cases_;
  const Plan& plan_;
  EpisodeOptions options_;
  AugmentOptions augment_, bend_;
  std::vector<int64_t> labels_;
  uint64_t seed_;
};

// Random regions 0 to `regions` - 1 of a volume: the largest of so many smooth random fields, to
// each of which `values`, if any, are added by a factor of its own.
std::vector<uint8_t> RandomRegions(const volume::Size3& size, int64_t regions,
                                   std::span<const float> values, data::RandomStream& random);

}  // namespace orchard::segment
