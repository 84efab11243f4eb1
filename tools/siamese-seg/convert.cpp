// siamese-seg convert: images and label maps from one format into another.
#include "segment/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/logging.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

using segment::ConvertedCase;

nlohmann::ordered_json CaseJson(const ConvertedCase& c) {
  nlohmann::ordered_json json = {
      {"case", c.name}, {"input", c.input.string()}, {"output", c.output.string()}};
  json.update(GridJson(c.grid));
  json["type"] = TypeName(c.dtype);
  json["warnings"] = c.warnings;
  return json;
}

int RunConvert(const segment::ConvertOptions& options, const cli::Context& context) {
  const std::vector<ConvertedCase> cases =
      segment::Convert(options, {.threads = context.common.Threads(),
                                 .force = context.common.force,
                                 .resume = context.common.resume,
                                 .dry_run = context.common.dry_run,
                                 .deterministic = context.common.deterministic});
  const auto failed = static_cast<size_t>(std::count_if(
      cases.begin(), cases.end(), [](const ConvertedCase& c) { return !c.error.empty(); }));
  if (failed == cases.size()) {
    const std::string more = failed > 1 ? fmt::format(" (and {} more)", failed - 1) : "";
    throw DataError("no case could be converted: " + cases.front().error + more);
  }
  nlohmann::ordered_json done = nlohmann::ordered_json::array();
  nlohmann::ordered_json failures = nlohmann::ordered_json::array();
  for (const ConvertedCase& c : cases) {
    for (const std::string& warning : c.warnings) LogWarning(c.name + ": " + warning);
    if (!c.error.empty()) {
      LogError(c.error);
      failures.push_back({{"case", c.name}, {"error", c.error}, {"exit_code", c.exit_code}});
    } else {
      done.push_back(CaseJson(c));
      if (!context.common.json) fmt::print("{}: {}\n", c.output.string(), DescribeGrid(c.grid));
    }
  }
  if (context.common.json) fmt::print("{}\n", Dump({{"cases", done}, {"failures", failures}}));
  if (failed == 0) return 0;
  if (!context.common.json)
    fmt::print("{} of {} cases failed: {}\n", failed, cases.size(),
               (options.output / "failures.json").string());
  return static_cast<int>(ExitCode::kImpossible);
}

}  // namespace

void AddConvert(cli::Program& program) {
  program.Add<segment::ConvertOptions>(
      {.name = "convert",
       .summary = "converts DICOM series to NIfTI, and label maps to DICOM segmentations",
       .example = "siamese-seg convert data/medical/mr_dicom hippocampus.nii.gz",
       .details = "A folder as output converts every series and file below the input. Cases that "
                  "fail are listed\n"
                  "in failures.json and end with exit code 4, the others are done. --resume leaves "
                  "finished\n"
                  "cases alone."},
      RunConvert);
}

}  // namespace orchard::siamese_seg
