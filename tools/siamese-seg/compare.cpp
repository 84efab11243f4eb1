// siamese-seg compare: two evaluations of the same cases.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/logging.h"
#include "segment/compare_metrics.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

int RunCompare(const segment::CompareOptions& options, const cli::Context& context) {
  const segment::Comparison comparison =
      segment::CompareMetrics(options, static_cast<uint64_t>(context.common.seed));
  for (const std::string& name : comparison.unpaired) LogWarning(name + ": in one file only");
  if (context.common.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const segment::PairedDifference& d : comparison.differences) {
      list.push_back({{"class", d.region},
                      {"metric", d.metric},
                      {"first", d.first},
                      {"second", d.second},
                      {"difference", d.difference.mean},
                      {"low", d.difference.low},
                      {"high", d.difference.high},
                      {"p", d.p},
                      {"cases", d.difference.cases}});
    }
    fmt::print("{}\n", Dump({{"differences", list}, {"unpaired", comparison.unpaired}}));
    return 0;
  }
  fmt::print("{:<16} {:<12} {:>10} {:>10} {:>34} {:>10} {:>6}\n", "class", "metric", "first",
             "second", "second - first [95 %]", "p", "cases");
  for (const segment::PairedDifference& d : comparison.differences) {
    fmt::print("{:<16} {:<12} {:>10.4f} {:>10.4f} {:>34} {:>10.3g} {:>6}\n", d.region, d.metric,
               d.first, d.second,
               fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", d.difference.mean, d.difference.low,
                           d.difference.high),
               d.p, d.difference.cases);
  }
  return 0;
}

}  // namespace

void AddCompare(cli::Program& program) {
  program.Add<segment::CompareOptions>(
      {.name = "compare",
       .summary =
           "compares two evaluations case by case: mean difference, interval, signed-rank test",
       .example = "siamese-seg compare runs/first runs/second",
       .details =
           "Reads metrics.json of evaluate, or nnU-Net's summary.json. p is that of Wilcoxon's "
           "signed-rank test,\n"
           "two-sided, for each class and metric alone: with many of them some are small by "
           "chance."},
      RunCompare);
}

}  // namespace orchard::siamese_seg
