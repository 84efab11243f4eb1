// siamese-seg templates.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/logging.h"
#include "io/medical/nifti.h"
#include "segment/model_directory.h"
#include "segment/predictor.h"
#include "segment/user_templates.h"
#include "siamese-seg/describe.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {
namespace {

using segment::TemplateBank;
using segment::TemplatesOptions;

std::vector<std::string> PresentLabels(const TemplateBank& bank, size_t n) {
  std::vector<std::string> names;
  for (const segment::LabelName& l : bank.labels)
    if (bank.Has(n, l.value)) names.push_back(l.name);
  return names;
}

nlohmann::ordered_json CaseJson(const TemplateBank& bank, size_t n) {
  const segment::PreparedCase& c = bank.cases[n];
  return {{"id", c.id},
          {"subject", c.subject},
          {"size", c.image.size},
          {"labels", PresentLabels(bank, n)},
          {"score", bank.scores[n]}};
}

int Build(const TemplatesOptions& options, const cli::Context& context) {
  if (options.data.has_value() != options.user_templates.empty())
    throw UsageError("where are the examples?", "--data", "one of --data and --template");
  if (std::filesystem::exists(options.bank) && !context.common.force)
    throw UsageError("the file exists", options.bank.string(), "--force replaces it");
  const segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  std::vector<segment::CaseFiles> files = segment::ParseTemplates(options.user_templates);
  std::vector<std::string> names;
  if (options.data) {
    const segment::Dataset dataset = segment::FindDataset(*options.data);
    for (const std::string& warning : dataset.warnings) LogWarning(warning);
    for (const auto& l : dataset.labels) names.push_back(fmt::format("{}={}", l.value, l.name));
    files = dataset.cases;
  }
  const bool in_context = model.network->in_context();
  TemplateBank bank =
      segment::LoadTemplates(files, model.network->plan(), in_context, context.common.Threads());
  if (in_context) {
    names.resize(std::min<size_t>(names.size(), bank.labels.size()));
    segment::NameLabels(bank.labels, names);
    segment::NameLabels(bank.labels, options.names);
  }
  if (options.limit > 0) {
    std::vector<segment::LabelName> labels = bank.labels;
    bank = segment::MakeBank(std::move(bank.cases), std::move(labels), options.limit);
  }
  if (context.common.dry_run) return 0;
  segment::WriteBank(options.bank, bank, model.network->plan());
  int64_t encoded = 0, kept = 0;
  if (options.encode && model.network->uses_template()) {
    ThreadPool pool(context.common.Threads());
    const TemplateBank stored = segment::ReadBank(options.bank, model.network->plan(), in_context);
    segment::Predictor predictor(*model.network, stored, {.token_memory = 0}, 0, pool,
                                 options.cache.value_or(segment::TokenFolder(options.bank)));
    for (size_t n = 0; n < stored.cases.size(); ++n) predictor.Warm(n);
    encoded = predictor.cache().counts().encoded;
    kept = predictor.cache().counts().found;
  }
  if (context.common.json) {
    fmt::print("{}\n", Dump({{"bank", options.bank.string()},
                             {"templates", bank.cases.size()},
                             {"encoded", encoded},
                             {"were_encoded", kept}}));
  } else {
    fmt::print("{}: {} templates, {} crops encoded, {} were there\n", options.bank.string(),
               bank.cases.size(), encoded, kept);
  }
  return 0;
}

int List(const TemplatesOptions& options, const cli::Context& context) {
  const segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  const TemplateBank bank =
      segment::ReadBank(options.bank, model.network->plan(), model.network->in_context());
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (size_t n = 0; n < bank.cases.size(); ++n) {
    cases.push_back(CaseJson(bank, n));
    if (context.common.json) continue;
    const segment::PreparedCase& c = bank.cases[n];
    fmt::print("{}  {}x{}x{}  mean Dice with the others {:.4f}  {}\n", c.id, c.image.size[0],
               c.image.size[1], c.image.size[2], bank.scores[n],
               fmt::join(PresentLabels(bank, n), ", "));
  }
  if (context.common.json)
    fmt::print("{}\n", Dump({{"bank", options.bank.string()}, {"templates", cases}}));
  return 0;
}

int Select(const TemplatesOptions& options, const cli::Context& context) {
  if (!options.image) throw UsageError("templates for which image?", "--image");
  const segment::SegmentationModel model = segment::ReadModelDirectory(options.model);
  const segment::Plan& plan = model.network->plan();
  const TemplateBank bank = segment::ReadBank(options.bank, plan, model.network->in_context());
  ThreadPool pool(context.common.Threads());
  const std::vector<io::Volume> channels = {io::ReadNifti(*options.image).volume};
  const segment::PreparedImage image =
      segment::PrepareImage(channels, plan, options.image->string(), pool);
  const std::vector<float> thumbnail = segment::Thumbnail(image);
  const std::vector<size_t> chosen =
      segment::ChooseTemplates(bank.cases, bank.scores,
                               {options.select, options.templates, options.fixed,
                                static_cast<uint64_t>(context.common.seed)},
                               thumbnail, options.subject);
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const size_t n : chosen) {
    nlohmann::ordered_json json = CaseJson(bank, n);
    const double similarity = segment::Similarity(thumbnail, bank.cases[n].thumbnail);
    json["similarity"] = similarity;
    cases.push_back(json);
    if (!context.common.json) {
      fmt::print("{}  similarity {:.4f}  mean Dice with the others {:.4f}\n", bank.cases[n].id,
                 similarity, bank.scores[n]);
    }
  }
  if (context.common.json)
    fmt::print("{}\n", Dump({{"image", options.image->string()}, {"templates", cases}}));
  return 0;
}

}  // namespace

int RunTemplates(const TemplatesOptions& options, const cli::Context& context) {
  at::set_num_threads(context.common.Threads());
  switch (options.action) {
    case segment::TemplatesAction::kBuild:
      return Build(options, context);
    case segment::TemplatesAction::kList:
      return List(options, context);
    default:
      return Select(options, context);
  }
}

}  // namespace orchard::siamese_seg
