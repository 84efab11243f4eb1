// Tuning in context: a few gradient steps of what the templates say, on the labelled examples that
// the user has given. The encoders and the decoder stay as they were trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "segment/template_bank.h"
#include "segment/template_network.h"
#include "segment/tune_options.h"

namespace orchard::segment {

struct TuneResult {
  double first_loss = 0, last_loss = 0;  // means of the first and the last fifth of the steps
  double seconds = 0;
  int64_t parameters = 0;
};

// Changes fuse.L.{k, v, theta, beta} of the network in place: each example is segmented with
// another of the bank as its template (its own, changed otherwise, where there is one only), and
// cross-entropy plus soft Dice fall. Deterministic in `seed`. Throws DivergedError.
TuneResult TuneOnTemplates(TemplateNetwork& network, const TemplateBank& bank,
                           const TuneOptions& options, uint64_t seed);

// Whether a parameter is one of those.
bool IsTuned(const std::string& name);

}  // namespace orchard::segment
