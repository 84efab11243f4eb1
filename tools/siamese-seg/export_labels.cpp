// siamese-seg export-labels: logits to a label map.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "segment/export_logits.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

int RunExportLabels(const segment::ExportLogitsOptions& options, const cli::Context& context) {
  if (std::filesystem::exists(options.output) && !context.common.force)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
  const segment::ExportLogitsResult result =
      segment::ExportLogits(options, context.common.Threads());
  if (context.common.json) {
    fmt::print("{}\n", Dump({{"output", options.output.string()},
                             {"classes", result.classes},
                             {"export_seconds", result.export_seconds},
                             {"write_seconds", result.write_seconds},
                             {"interpolated", result.interpolated}}));
  } else {
    fmt::print(
        "{}: {} classes, exported in {:.2f} s, written in {:.2f} s; {:.1f} % of the voxels "
        "interpolated\n",
        options.output.string(), result.classes, result.export_seconds, result.write_seconds,
        100 * result.interpolated);
  }
  return 0;
}

}  // namespace

void AddExportLabels(cli::Program& program) {
  program.Add<segment::ExportLogitsOptions>(
      {.name = "export-labels",
       .summary = "interpolates logits to a larger grid and writes the leading class of each voxel",
       .example = "siamese-seg export-labels logits.safetensors labels.nii.gz --size 512,512,430"},
      RunExportLabels);
}

}  // namespace orchard::siamese_seg
