// siamese-seg export: a trained model as one file.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/number_format.h"
#include "segment/model_file.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {

int RunExport(const segment::ExportModelOptions& options, const cli::Context& context) {
  if (options.output.extension() != ".safetensors")
    throw UsageError("not a name of a model file", options.output.string(), "NAME.safetensors");
  if (std::filesystem::exists(options.output) && !context.common.force)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
  segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  if (options.templates == 0) {
    model.bank = {};
  } else if (options.templates) {
    model.bank.OpenAll();
    model.bank = segment::MakeBank(std::move(model.bank.cases), model.network->plan().labels,
                                   *options.templates);
  }
  if (context.common.dry_run) return 0;
  segment::WriteModelFile(options.output, *model.network, model.bank, options.dtype);
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(options.output));
  const auto templates = std::ssize(model.bank.cases);
  if (context.common.json) {
    fmt::print("{}\n", nlohmann::ordered_json({{"output", options.output.string()},
                                               {"bytes", bytes},
                                               {"templates", templates}})
                           .dump());
  } else {
    fmt::print("{}: {}, {} templates\n", options.output.string(),
               FormatBytes(static_cast<uint64_t>(bytes)), templates);
  }
  return 0;
}

}  // namespace orchard::siamese_seg
