// siamese-seg export: a trained model as one file.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/number_format.h"
#include "base/thread_pool.h"
#include "segment/model_file.h"
#include "segment/script_model.h"
#include "segment/template_choice.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {

namespace {

using segment::ExportModelOptions;
using segment::SegmentationModel;

// Returns the number of templates.
int64_t ExportTensors(SegmentationModel& model, const ExportModelOptions& options) {
  if (options.templates == 0) {
    model.bank = {};
  } else if (options.templates) {
    model.bank.OpenAll();
    model.bank = segment::MakeBank(std::move(model.bank.cases), model.network->plan().labels,
                                   *options.templates);
  }
  segment::WriteModelFile(options.output, *model.network, model.bank, options.dtype);
  return std::ssize(model.bank.cases);
}

// With the templates that a prediction would choose: one unless told otherwise.
int64_t ExportScript(const SegmentationModel& model, const ExportModelOptions& options,
                     int threads) {
  at::set_num_threads(threads);
  ThreadPool pool(threads);
  const segment::TemplateBank& bank = model.bank;
  const segment::TemplateQuery query{.count = options.templates.value_or(1)};
  std::vector<size_t> templates;
  if (model.network->uses_template() && !bank.cases.empty())
    templates = segment::ChooseTemplates(bank.cases, bank.scores, query, {}, "");
  segment::WriteScriptModel(options.output, *model.network, bank, templates, pool);
  return std::ssize(templates);
}

}  // namespace

int RunExport(const ExportModelOptions& options, const cli::Context& context) {
  const bool script = options.output.extension() == ".pt";
  if (!script && options.output.extension() != ".safetensors") {
    throw UsageError("not a name of a model file", options.output.string(),
                     "NAME.safetensors, or NAME.pt for TorchScript");
  }
  if (script && options.dtype != segment::WeightType::kF32)
    throw UsageError("a TorchScript module is f32", "--dtype");
  if (std::filesystem::exists(options.output) && !context.common.force)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
  SegmentationModel model = segment::ReadModelDirectory(options.model);
  if (context.common.dry_run) return 0;
  const int64_t templates = script ? ExportScript(model, options, context.common.Threads())
                                   : ExportTensors(model, options);
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(options.output));
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
