// Plan and options of the experiments on made-up slices.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "run/case_runner.h"
#include "segment/plan.h"
#include "segment/repro/trainings.h"
#include "segment/train_options.h"

namespace orchard::segment::repro {

// One patch is one image of side x side; four stages from 16 channels (`quick`: three from 8).
Plan SlicePlan(const std::string& name, int64_t side, int64_t classes, bool quick);

// Those of volumes, with rotations alone: made-up images have no scanner.
SegmentTrainOptions SliceOptions(double minutes);

// The trainings of such an experiment: for every seed with a template, and as the U-Net without.
std::vector<run::Case> PairedCases(
    const Setting& setting,
    const std::function<std::string(bool with_template, uint64_t seed)>& name,
    const std::function<run::Numbers(bool with_template, uint64_t seed)>& train);

}  // namespace orchard::segment::repro
