// Plan and options of the experiments on made-up slices.
#pragma once

#include <cstdint>
#include <string>

#include "segment/plan.h"
#include "segment/train_options.h"

namespace orchard::segment::repro {

// One patch is one image of side x side; four stages from 16 channels (`quick`: three from 8).
Plan SlicePlan(const std::string& name, int64_t side, int64_t classes, bool quick);

// Those of volumes, with rotations alone: made-up images have no scanner.
SegmentTrainOptions SliceOptions(double minutes);

}  // namespace orchard::segment::repro
