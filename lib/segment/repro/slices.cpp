#include "segment/repro/slices.h"

#include "segment/planner.h"

namespace orchard::segment::repro {

Plan SlicePlan(const std::string& name, int64_t side, int64_t classes, bool quick) {
  Plan plan;
  plan.dims = 2;
  plan.dataset = name;
  plan.channels = {{.name = "image"}};
  for (int64_t c = 1; c <= classes; ++c) plan.labels.push_back({c, "class " + std::to_string(c)});
  plan.patch = {side, side, 1};
  plan.median_size = plan.patch;
  plan.batch = 8;
  plan.stages = MakeStages(plan.spacing, 2, quick ? 8 : 16, quick ? 3 : 4, plan.patch);
  return plan;
}

SegmentTrainOptions SliceOptions(double minutes) {
  SegmentTrainOptions options = BaseOptions(minutes);
  AugmentOptions& a = options.augment;
  a.noise = a.blur = a.brightness = a.contrast = a.low_resolution = 0;
  a.gamma = a.gamma_inverted = a.elastic = a.scale = 0;
  return options;
}

std::vector<run::Case> PairedCases(const Setting& setting,
                                   const std::function<std::string(bool, uint64_t)>& name,
                                   const std::function<run::Numbers(bool, uint64_t)>& train) {
  std::vector<run::Case> cases;
  for (int64_t s = 0; s < setting.options.seeds; ++s) {
    const uint64_t seed = setting.seed + static_cast<uint64_t>(s);
    for (const bool with : {true, false}) {
      cases.push_back({name(with, seed), [train, with, seed] { return train(with, seed); }});
    }
  }
  return cases;
}

}  // namespace orchard::segment::repro
