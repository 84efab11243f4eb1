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
#include "siamese-seg/describe.h"
#include "siamese-seg/device.h"
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

// The user's own labelled examples, prepared as the model's are.
segment::TemplateBank UserBank(const std::vector<std::string>& templates, const segment::Plan& plan,
                               ThreadPool& pool) {
  std::vector<segment::PreparedCase> cases;
  for (const std::string& text : templates) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) {
      throw UsageError("an image and its labels are wanted: '" + text + "'", "--template",
                       "IMAGE.nii.gz:LABELS.nii.gz");
    }
    segment::CaseFiles files;
    files.images = {text.substr(0, colon)};
    files.labels = text.substr(colon + 1);
    files.id = segment::CaseId(files.images.front());
    files.subject = files.id;
    cases.push_back(segment::LoadCase(files, plan, pool));
  }
  for (const segment::LabelName& label : plan.labels) {
    const bool present =
        std::any_of(cases.begin(), cases.end(),
                    [&](const segment::PreparedCase& c) { return c.Has(label.value); });
    if (!present) LogWarning("no template has label " + label.name);
  }
  return segment::MakeBank(std::move(cases), plan.classes(), 0);
}

// Values on the turned scan as a volume on the scan's own grid. T: uint8_t, float.
template <class T>
io::Volume OnOriginalGrid(std::span<const T> values, const segment::CaseFrame& frame) {
  constexpr io::DType kType = std::is_same_v<T, float> ? io::DType::kF32 : io::DType::kU8;
  io::Volume turned = io::MakeVolume(io::Reorient(frame.original, frame.canonical), kType);
  std::copy(values.begin(), values.end(), turned.Elements<T>().begin());
  io::Volume volume = io::Reorient(turned, io::Inverse(frame.canonical));
  volume.grid = frame.original;  // to the bit
  return volume;
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
  return {.labels = OnOriginalGrid<uint8_t>(labels, scan.frame)};
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
    const std::vector<segment::LabelName> labels = {{1, "label 1"}};
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
  if (!options.user_templates.empty()) {
    model.bank = UserBank(options.user_templates, plan, pool);
    infer.templates = std::ssize(model.bank.cases);  // all that were given
  }
  segment::Predictor predictor(*model.network, model.bank, infer,
                               static_cast<uint64_t>(context.common.seed), pool);
  const auto segment_scan = [&](std::span<const io::Volume> channels, const std::string& id,
                                const std::string& where) {
    const segment::PreparedImage image = segment::PrepareImage(channels, plan, where, pool);
    std::vector<float> logits;
    const segment::SegmentedImage s =
        options.probs ? predictor.Segment(image, id, segment::KeepLogits(image, plan, logits))
                      : predictor.Segment(image, id);
    std::vector<io::Volume> probabilities;
    if (options.probs) {
      const int64_t classes = plan.classes() + 1;
      const std::vector<float> all = segment::Probabilities(logits, image, plan, pool);
      const auto voxels = all.size() / static_cast<size_t>(classes);
      for (int64_t c = 0; c < classes; ++c) {
        probabilities.push_back(OnOriginalGrid(
            std::span(all).subspan(static_cast<size_t>(c) * voxels, voxels), image.frame));
      }
    }
    return segment::SegmentedScan{.labels = OnOriginalGrid<uint8_t>(s.labels, image.frame),
                                  .probabilities = std::move(probabilities),
                                  .templates = s.templates,
                                  .warnings = s.warnings,
                                  .seconds = s.seconds};
  };
  return Report(
      segment::PredictCases(options, flags, plan.labels, plan.channels.size(), segment_scan),
      plan.labels, context);
}

}  // namespace orchard::siamese_seg
