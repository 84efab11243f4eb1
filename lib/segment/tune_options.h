// How templates are tuned before a prediction.
#pragma once

#include <cstdint>

#include "cli/fields.h"

namespace orchard::segment {

struct TuneOptions {
  int64_t steps = 0;
  double lr = 2e-3;

  void Fields(cli::FieldVisitor& f) {
    f("tune_steps", steps,
      "gradient steps of the attention's keys, values, tau and beta on the templates (0: none)",
      cli::AtLeast(0));
    f("tune_lr", lr, "their learning rate, which falls to 0 as half a cosine", cli::Positive());
  }
};

}  // namespace orchard::segment
