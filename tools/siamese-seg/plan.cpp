// siamese-seg plan: spacing, patch and network for a data set.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/logging.h"
#include "base/number_format.h"
#include "segment/planner.h"
#include "segment/prepared_case.h"
#include "siamese-seg/commands.h"

namespace orchard::siamese_seg {
namespace {

void Print(const segment::Plan& plan) {
  const auto count = [](auto n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
  };
  fmt::print("{}: {}, {}, labels", plan.dataset, count(plan.cases, "case"),
             count(plan.channels.size(), "channel"));
  for (size_t l = 0; l < plan.labels.size(); ++l)
    fmt::print("{} {} ({})", l == 0 ? "" : ",", plan.labels[l].value, plan.labels[l].name);
  fmt::print("\nspacing {:.4g} x {:.4g} x {:.4g} mm, median image {} x {} x {}\n", plan.spacing[0],
             plan.spacing[1], plan.spacing[2], plan.median_size[0], plan.median_size[1],
             plan.median_size[2]);
  for (const auto& c : plan.channels) {
    if (c.ct) {
      fmt::print("{}: clipped to {:.4g} .. {:.4g}, minus {:.4g}, divided by {:.4g}\n", c.name,
                 c.low, c.high, c.mean, c.deviation);
    } else {
      fmt::print("{}: each image to mean 0 and deviation 1{}\n", c.name,
                 plan.nonzero_mask ? ", within its voxels that are not 0" : "");
    }
  }
  fmt::print("patch {} x {} x {}, batch {}, about {} to train\n", plan.patch[0], plan.patch[1],
             plan.patch[2], plan.batch, FormatBytes(static_cast<uint64_t>(plan.training_bytes)));
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const segment::Stage& stage = plan.stages[s];
    const volume::Size3 size = plan.StageSize(s);
    fmt::print("stage {}: {} channels, {} x {} x {}, kernel {} {} {}, stride {} {} {}\n", s,
               stage.channels, size[0], size[1], size[2], stage.kernel[0], stage.kernel[1],
               stage.kernel[2], stage.stride[0], stage.stride[1], stage.stride[2]);
  }
}

int RunPlan(const segment::PlanOptions& options, const cli::Context& context) {
  segment::Dataset dataset = segment::FindDataset(options.data);
  for (const std::string& warning : dataset.warnings) LogWarning(warning);
  if (options.fold >= 0) {
    const segment::Split split = segment::SplitFold(dataset.cases, options.fold, 0,
                                                    static_cast<uint64_t>(context.common.seed));
    std::vector<segment::CaseFiles> training;
    for (const size_t n : split.training) training.push_back(dataset.cases[n]);
    dataset.cases = std::move(training);
  }
  const segment::Fingerprint fingerprint =
      segment::TakeFingerprint(dataset, context.common.Threads());
  const segment::Plan plan = segment::MakePlan(dataset, fingerprint, options);
  const std::filesystem::path output = options.output.value_or(options.data / "plan.json");
  if (!context.common.dry_run) segment::WritePlan(output, plan);
  if (context.common.json) {
    fmt::print("{}\n", segment::ToJson(plan).dump());
    return 0;
  }
  Print(plan);
  if (!context.common.dry_run) fmt::print("{}\n", output.string());
  return 0;
}

}  // namespace

void AddPlan(cli::Program& program) {
  program.Add<segment::PlanOptions>(
      {.name = "plan",
       .summary = "chooses spacing, patch and network for a data set",
       .example = "siamese-seg plan data/hippocampus -o plan.json",
       .details = "By the rules of nnU-Net. A plan is a JSON file that may be edited."},
      RunPlan);
}

}  // namespace orchard::siamese_seg
