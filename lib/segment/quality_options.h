// How quality without a reference is estimated.
#pragma once

#include <cstdint>

#include "cli/fields.h"
#include "segment/inference_options.h"

namespace orchard::segment {

struct QualityOptions {
  int64_t reverse_cases = 8;
  int64_t witnesses = 5;
  Decode reverse = Decode::kAttention;
  double flag_below = 0.7, reverse_below = 0;

  void Fields(cli::FieldVisitor& f) {
    f("reverse_cases", reverse_cases,
      "labelled cases that the label map must segment as a template, the most similar ones",
      cli::AtLeast(1));
    f("witnesses", witnesses, "templates whose segmentations are compared with each other",
      cli::AtLeast(2));
    f("reverse", reverse, "who segments them: the similarities alone, or the whole network");
    f("flag_below", flag_below,
      "a class is flagged whose mean Dice with the witnesses' segmentations (support) is smaller",
      cli::Between(0, 1));
    f("reverse_below", reverse_below,
      "also flag a class whose predicted Dice is smaller than this (0: support alone decides)",
      cli::Between(0, 1));
  }
};

}  // namespace orchard::segment
