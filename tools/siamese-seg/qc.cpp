// siamese-seg qc.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "call_info.h"
#include "io/medical/nifti.h"
#include "io/png.h"
#include "run/progress.h"
#include "run/run_dir.h"
#include "segment/label_map.h"
#include "segment/model_directory.h"
#include "segment/predictor.h"
#include "segment/quality_report.h"
#include "siamese-seg/describe.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {
namespace {

using segment::AssessedCase;
using segment::QcOptions;

struct Task {
  std::string id;
  std::filesystem::path image, pred, ref;
};

using Files = std::map<std::string, std::filesystem::path>;

Files FindNifti(const std::filesystem::path& path) {
  Files files = segment::FindCases(path);
  for (const auto& [id, file] : files) {
    if (io::IsNiftiName(file)) continue;
    throw UsageError("qc reads NIfTI files, " + file.filename().string() + " is DICOM",
                     path.string(), "siamese-seg convert makes NIfTI of it");
  }
  return files;
}

// Images and label maps of one name; throws where an image has no label map.
std::vector<Task> FindTasks(const QcOptions& options) {
  const Files images = FindNifti(options.images);
  const Files preds = FindNifti(options.pred);
  Files refs;
  if (options.ref) refs = FindNifti(*options.ref);
  const bool one = images.size() == 1 && preds.size() == 1;
  std::vector<Task> tasks;
  for (const auto& [id, image] : images) {
    const auto pred = one ? preds.begin() : preds.find(id);
    if (pred == preds.end()) {
      LogWarning("no label map for " + image.string());
      continue;
    }
    Task task{.id = id, .image = image, .pred = pred->second};
    if (const auto ref = one && refs.size() == 1 ? refs.begin() : refs.find(id); ref != refs.end())
      task.ref = ref->second;
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) throw DataError("no label map of any image", options.pred.string());
  return tasks;
}

AssessedCase Assess(const Task& task, const QcOptions& options,
                    const segment::SegmentationModel& model, const segment::Plan& plan,
                    uint64_t seed, ThreadPool& pool) {
  segment::CaseFiles files{
      .id = task.id, .subject = task.id, .images = {task.image}, .labels = task.pred};
  const segment::PreparedCase c = segment::LoadCase(files, plan, pool);
  AssessedCase result;
  result.quality = segment::AssessQuality(*model.network, model.bank, options.infer,
                                          options.quality, c, seed, pool);
  if (!task.ref.empty()) {
    const std::vector<uint8_t> truth = segment::PrepareLabels(
        io::ReadNifti(task.ref).volume, c.image, plan, task.ref.string(), pool);
    result.truth = segment::DiceScores(c.labels, truth, plan.classes());
  }
  if (options.pictures > 0)
    result.picture = io::EncodePng(segment::DrawDisagreement(c, result.quality, plan, 320));
  return result;
}

}  // namespace

int RunQc(const QcOptions& options, const cli::Context& context) {
  at::set_num_threads(context.common.Threads());
  ThreadPool pool(context.common.Threads());
  segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  if (!model.network->uses_template()) {
    throw UsageError("a network without template has no second opinion", "--model");
  }
  if (options.template_set) {
    model.bank = segment::ReadBank(*options.template_set, model.network->plan(),
                                   model.network->in_context());
  }
  segment::Plan plan = model.network->plan();
  plan.labels = model.bank.labels;  // in context those of the bank
  const std::vector<Task> tasks = FindTasks(options);
  std::vector<AssessedCase> cases;
  const auto assess = [&] {
    run::Progress progress(
        "qc", std::ssize(tasks), "cases",
        {.enabled = !context.common.no_progress && !context.common.quiet, .start = 0});
    for (const Task& task : tasks) {
      cases.push_back(
          Assess(task, options, model, plan, static_cast<uint64_t>(context.common.seed), pool));
      progress.Advance();
    }
    progress.Finish();
  };
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context),
                          run::WhenExisting(context.common.force, false));
    directory.Record([&] {
      assess();
      const nlohmann::ordered_json json = segment::QualityJson(cases, plan.labels);
      WriteFileAtomically(directory.path() / "qc.json", json.dump(2) + "\n");
      WriteFileAtomically(directory.path() / "qc.csv", segment::QualityCsv(cases, plan.labels));
      directory.WriteReport(
          segment::QualityReport(cases, plan.labels, options.quality, options.pictures));
      return nlohmann::json{{"cases", json["cases"].size()}, {"flagged", json["flagged"]}};
    });
  } else {
    assess();
  }
  if (context.common.json) {
    fmt::print("{}\n", Dump(segment::QualityJson(cases, plan.labels)));
    return 0;
  }
  for (const AssessedCase& c : cases) {
    fmt::print("{}{}:", c.quality.id, c.quality.flagged() ? " LOOK" : "");
    for (size_t k = 0; k < c.quality.classes.size(); ++k) {
      fmt::print(" {} support {:.3f}, predicted {:.3f}", plan.labels[k].name,
                 c.quality.classes[k].support, c.quality.classes[k].predicted_dice);
      if (k < c.truth.size()) fmt::print(" (true {:.3f})", c.truth[k]);
    }
    fmt::print("\n");
  }
  if (context.common.out) fmt::print("{}\n", (*context.common.out / "report.html").string());
  return 0;
}

}  // namespace orchard::siamese_seg
