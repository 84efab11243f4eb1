// What a training step sees: patches of cases, each with a patch of a labelled example of another
// subject.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "segment/augment.h"
#include "segment/prepared_case.h"

namespace orchard::segment {

struct SamplingOptions {
  double foreground = 0.33;  // part of the patches centred on a foreground voxel
  double p_self = 0.1;       // template is the target itself, changed differently
  double p_near = 0.4;       // template is one of the most similar cases
  int64_t near = 8;          // how many those are
  double jitter = 0.1;       // of the template's crop, of its body's extent
  bool blank = false;        // nothing is marked in any template

  void Fields(cli::FieldVisitor& f) {
    f("foreground", foreground, "part of the patches that are centred on a foreground voxel",
      cli::Between(0, 1));
    f("p_self", p_self, "probability that the template is the image itself, changed otherwise",
      cli::Between(0, 1));
    f("p_near", p_near, "probability that the template is one of the most similar cases",
      cli::Between(0, 1));
    f("near", near, "how many are the most similar", cli::AtLeast(1));
    f("jitter", jitter, "shift of a template's crop, of the extent of what it shows",
      cli::Between(0, 1));
    f("blank", blank, "templates without their labels, to see what the labels are worth");
  }
};

struct Sample {
  size_t target_case = 0, template_case = 0;
  Patch target, example;
};

// Draws samples. A sample depends on (seed, number) alone.
class Sampler {
 public:
  // `cases` outlives the sampler. Throws ImpossibleError where all cases are of one subject and
  // templates of others are wanted.
  Sampler(std::span<const PreparedCase> cases, const Plan& plan, const SamplingOptions& sampling,
          const AugmentOptions& augment, uint64_t seed, bool with_templates = true);

  // The target's and the template's subject differ, but for self pairs.
  Sample Draw(uint64_t number) const;

 private:
  size_t DrawTemplate(size_t target, data::RandomStream& random) const;
  volume::Size3 DrawStart(const PreparedCase& c, data::RandomStream& random) const;
  Patch CutTemplate(const PreparedCase& target, const volume::Size3& start, bool has_foreground,
                    const PreparedCase& from, data::RandomStream& random) const;

  std::span<const PreparedCase> cases_;
  const Plan& plan_;
  SamplingOptions sampling_;
  AugmentOptions augment_;
  uint64_t seed_;
  bool with_templates_;
  std::vector<std::vector<size_t>>
      others_;  // of each case: cases of other subjects, most similar first
};

}  // namespace orchard::segment
