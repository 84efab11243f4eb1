// baechi-place calibrate: measures devices and links.
#include "execute/calibrate.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "baechi-place/session.h"
#include "baechi-place/tensor_commands.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "run/progress.h"

namespace orchard::baechi_place {

int RunCalibrate(const CalibrateCommandOptions& options, const cli::Context& context) {
  if (options.output && std::filesystem::exists(*options.output) && !context.common.force &&
      !context.common.dry_run)
    throw UsageError("the file exists", options.output->string(), "--force replaces it");
  at::set_num_threads(1);
  execute::Calibration result;
  std::string text;
  InRunDir(context, [&](run::RunDir* directory) -> nlohmann::json {
    run::Progress progress("calibrate", 0, "transfers",
                           {.enabled = !context.common.no_progress && !context.common.quiet});
    result = execute::Calibrate(options.calibrate, [&](const std::string& what) {
      progress.Note(what);
      progress.Advance();
    });
    progress.Finish();
    text = execute::CalibrationToJson(result);
    if (options.output && !context.common.dry_run) WriteFileAtomically(*options.output, text);
    if (directory) WriteFileAtomically(directory->path() / "devices.json", text);
    return nlohmann::json::parse(text);
  });
  if (context.common.json) {
    fmt::print("{}\n", nlohmann::ordered_json::parse(text).dump());
    return 0;
  }
  for (const place::Device& device : result.cluster.devices) {
    fmt::print("{:<10} {:>9} free, speed {:.2f}\n", device.name,
               FormatBytes(static_cast<uint64_t>(device.memory)), device.speed);
  }
  for (const execute::LinkMeasurement& link : result.links) {
    fmt::print("{:<10} -> {:<10} {:>9} + {:.4g} us/MB (R^2 {:.3f})\n",
               result.cluster.devices[link.src].name, result.cluster.devices[link.dst].name,
               FormatDuration(link.fit.latency_us * 1e-6), link.fit.us_per_byte * 1e6, link.fit.r2);
  }
  if (!result.links.empty()) {
    fmt::print(
        "two transfers at once take {:.2f} times one in the same direction, {:.2f} times in "
        "opposite ones: links are {}\n",
        result.same_direction_us / result.alone_us, result.opposite_us / result.alone_us,
        place::Name(result.cluster.comm));
  }
  return 0;
}

}  // namespace orchard::baechi_place
