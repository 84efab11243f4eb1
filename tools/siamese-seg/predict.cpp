// siamese-seg predict.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/logging.h"
#include "segment/mixed_precision.h"
#include "segment/model_directory.h"
#include "segment/predict_cases.h"
#include "segment/predictor.h"
#include "segment/probabilities.h"
#include "segment/tune.h"
#include "segment/user_templates.h"
#include "siamese-seg/describe.h"
#include "siamese-seg/device.h"
#include "siamese-seg/predict_views.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {
namespace {

using segment::PredictedCase;

int Report(const std::vector<PredictedCase>& cases, const std::vector<segment::LabelName>& labels,
           const cli::Context& context) {
  const auto failed = static_cast<size_t>(std::count_if(
      cases.begin(), cases.end(), [](const PredictedCase& c) { return !c.error.empty(); }));
  if (failed > 0 && failed == cases.size()) {
    const std::string more = failed > 1 ? fmt::format(" (and {} more)", failed - 1) : "";
    throw DataError("no case could be segmented: " + cases.front().error + more);
  }
  nlohmann::ordered_json done = nlohmann::ordered_json::array();
  nlohmann::ordered_json failures = nlohmann::ordered_json::array();
  const bool print = !context.common.json;
  for (const PredictedCase& c : cases) {
    for (const std::string& warning : c.warnings) LogWarning(c.id + ": " + warning);
    if (!c.error.empty()) {
      LogError(c.error);
      failures.push_back({{"case", c.id}, {"error", c.error}, {"exit_code", c.exit_code}});
      continue;
    }
    nlohmann::ordered_json json = {{"case", c.id},
                                   {"input", c.input.string()},
                                   {"output", c.output.string()},
                                   {"kept", c.kept}};
    if (!c.kept) {
      nlohmann::ordered_json voxels = nlohmann::ordered_json::object();
      for (size_t n = 0; n < labels.size(); ++n) voxels[labels[n].name] = c.voxels[n];
      json.update({{"templates", c.templates},
                   {"voxels", voxels},
                   {"seconds", c.seconds},
                   {"warnings", c.warnings}});
    }
    done.push_back(json);
    if (print) {
      fmt::print("{}{}\n", c.output.string(),
                 c.kept ? ": was there" : fmt::format(": {:.2f} s", c.seconds));
    }
  }
  if (!print) fmt::print("{}\n", Dump({{"cases", done}, {"failures", failures}}));
  if (failures.empty()) return 0;
  if (print) {
    fmt::print("{} of {} cases failed: {}\n", failures.size(), cases.size(),
               (*context.common.out / "failures.json").string());
  }
  return static_cast<int>(ExitCode::kImpossible);
}

// A voxelwise function of the image, by the way of a prediction: for tests of geometry.
segment::SegmentedScan Voxelwise(std::span<const io::Volume> channels, const std::string& where,
                                 const std::function<uint8_t(float)>& label) {
  const segment::CroppedScan scan = segment::CropScan(channels, where);
  std::vector<uint8_t> labels(static_cast<size_t>(volume::Voxels(scan.frame.whole)), label(0));
  const volume::Box& box = scan.frame.crop;
  size_t at = 0;
  for (int64_t k = box.lo[2]; k < box.hi[2]; ++k)
    for (int64_t j = box.lo[1]; j < box.hi[1]; ++j)
      for (int64_t i = box.lo[0]; i < box.hi[0]; ++i, ++at)
        labels[static_cast<size_t>(volume::IndexOf(scan.frame.whole, i, j, k))] =
            label(scan.channels.front()[at]);
  return {.labels = OnOriginalGrid(std::span<const uint8_t>(labels), scan.frame)};
}

std::optional<std::function<uint8_t(float)>> VoxelwiseModel(const std::string& name) {
  if (name == "identity") {
    return
        [](float v) { return static_cast<uint8_t>(std::clamp(std::nearbyint(v), 0.0f, 255.0f)); };
  }
  if (!name.starts_with("threshold:")) return {};
  float threshold = 0;
  try {
    threshold = std::stof(name.substr(10));
  } catch (const std::exception&) {
    throw UsageError("not a number: '" + name.substr(10) + "'", "--model");
  }
  return [threshold](float v) { return static_cast<uint8_t>(v > threshold ? 1 : 0); };
}

void CheckFixed(const std::string& id, const segment::TemplateBank& bank) {
  if (id.empty()) throw UsageError("--select fixed without a template's id", "--fixed");
  const bool known = std::any_of(bank.cases.begin(), bank.cases.end(),
                                 [&](const segment::PreparedCase& c) { return c.id == id; });
  if (known) return;
  throw UsageError("there is no template '" + id + "'", "--fixed",
                   bank.cases.empty() ? "" : "e.g. " + bank.cases.front().id);
}

}  // namespace

int RunPredict(const segment::PredictOptions& options, const cli::Context& context) {
  if (!context.common.out) throw UsageError("a folder for the results is needed", "--out");
  const c10::Device device = DeviceFor(context);
  at::set_num_threads(context.common.Threads());
  ThreadPool pool(context.common.Threads());
  const segment::PredictFlags flags = {.out = *context.common.out,
                                       .threads = context.common.Threads(),
                                       .force = context.common.force,
                                       .deterministic = context.common.deterministic};
  if (const auto label = VoxelwiseModel(options.model.string())) {
    if (options.probs) throw UsageError("a function of the voxel has no probabilities", "--probs");
    std::vector<segment::LabelName> labels = {{1, "label 1"}};
    segment::NameLabels(labels, options.names);
    return Report(segment::PredictCases(
                      options, flags, labels, 1,
                      [&](std::span<const io::Volume> channels, const std::string&,
                          const std::string& where) { return Voxelwise(channels, where, *label); }),
                  labels, context);
  }
  segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  model.network->MoveTo(device);
  model.network->SetComputeType(segment::ComputeType(options.amp, device));
  const segment::Plan& plan = model.network->plan();
  segment::InferenceOptions infer = options.infer;
  std::optional<std::filesystem::path> cache = options.cache;
  if (options.template_set) {
    if (!options.user_templates.empty())
      throw UsageError("templates come from a bank or from files", "--template-set");
    model.bank = segment::ReadBank(*options.template_set, plan, model.network->in_context());
    if (!cache) cache = segment::TokenFolder(*options.template_set);
  }
  if (!options.user_templates.empty()) {
    model.bank = segment::LoadTemplates(segment::ParseTemplates(options.user_templates), plan,
                                        model.network->in_context(), context.common.Threads());
    infer.templates = std::ssize(model.bank.cases);  // all that were given
  }
  if (infer.select == segment::TemplateSelect::kFixed) CheckFixed(infer.fixed, model.bank);
  if (options.tune.steps > 0) {
    const segment::TuneResult tuned = segment::TuneOnTemplates(
        *model.network, model.bank, options.tune, static_cast<uint64_t>(context.common.seed));
    LogInfo(fmt::format("tuned {} numbers in {:.1f} s: loss {:.4f} to {:.4f}", tuned.parameters,
                        tuned.seconds, tuned.first_loss, tuned.last_loss));
  }
  std::vector<segment::LabelName> labels =
      model.network->in_context() ? model.bank.labels : plan.labels;
  segment::NameLabels(labels, options.names);
  if (model.network->in_context()) model.bank.labels = labels;
  segment::Predictor predictor(*model.network, model.bank, infer,
                               static_cast<uint64_t>(context.common.seed), pool, cache);
  PredictionViews views(options, context, model, labels, predictor, pool);
  const auto segment_scan = [&](std::span<const io::Volume> channels, const std::string& id,
                                const std::string& where) {
    const segment::PreparedImage image = segment::PrepareImage(channels, plan, where, pool);
    const std::vector<size_t> templates = predictor.Choose(image, id);
    std::vector<float> logits;
    segment::Plan asked = plan;  // with the labels that logits are of
    asked.labels.clear();
    for (const int64_t label : predictor.Asked(templates))
      asked.labels.push_back(labels[static_cast<size_t>(label - 1)]);
    const segment::SegmentedImage s = predictor.Segment(
        image, templates,
        options.probs ? segment::KeepLogits(image, asked, logits) : segment::Predictor::Sink());
    std::vector<io::Volume> probabilities;
    if (options.probs) {
      const int64_t classes = asked.classes() + 1;
      const std::vector<float> all = segment::Probabilities(logits, image, asked, pool);
      const auto voxels = all.size() / static_cast<size_t>(classes);
      for (int64_t c = 0; c < classes; ++c) {
        probabilities.push_back(OnOriginalGrid(
            std::span(all).subspan(static_cast<size_t>(c) * voxels, voxels), image.frame));
      }
    }
    io::Volume map = OnOriginalGrid(std::span<const uint8_t>(s.labels), image.frame);
    views.Add(image, templates, map, id);
    return segment::SegmentedScan{.labels = std::move(map),
                                  .probabilities = std::move(probabilities),
                                  .templates = s.templates,
                                  .warnings = s.warnings,
                                  .seconds = s.seconds};
  };
  const std::vector<PredictedCase> cases =
      segment::PredictCases(options, flags, labels, plan.channels.size(), segment_scan);
  views.Finish();
  return Report(cases, labels, context);
}

}  // namespace orchard::siamese_seg
