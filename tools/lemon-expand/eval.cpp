// lemon-expand eval: how well a model predicts a data set.
#include "lemon-expand/eval.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "expand/evaluate.h"
#include "expand/train_model.h"
#include "expand/train_tokenizer.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "nn/device.h"
#include "run/report.h"

namespace orchard::lemon_expand {
namespace {

using expand::Evaluation;

Evaluation Evaluate(const EvalCommandOptions& options, const cli::Context& context) {
  SetThreads(context);
  if (options.data.kind == expand::DataKind::kLabels) {
    throw UsageError("labelled texts are scored by finetune", "data.kind");
  }
  const c10::Device device = nn::ResolveDevice(context.common.ResolvedDevice().Name());
  expand::TrainDataOptions data = options.data;
  data.valid = options.dataset;
  if (data.train.empty()) data.train = options.dataset;
  ThreadPool pool(context.common.Threads());
  const auto tokenizer = expand::OpenTrainTokenizer(data, options.model);
  const auto batches = expand::OpenBatches(data, tokenizer ? &*tokenizer : nullptr,
                                           static_cast<uint64_t>(context.common.seed), pool);
  if (batches->valid_size() == 0) throw DataError("there are no samples", options.dataset);
  expand::TrainModelOptions model_options;
  model_options.path = options.model;
  expand::TrainModel model =
      expand::OpenTrainModel(model_options, batches->shape(), data.kind, options.precision, 0);
  expand::OnDevice(model, device);
  const auto one = comm::OneProcess();
  return expand::EvaluateBatches(model.network, *batches, options.batch, options.batches, *one,
                                 device);
}

nlohmann::json ToJson(const Evaluation& e) {
  nlohmann::json json = {{"loss", e.loss()},
                         {"predictions", e.predictions},
                         {"top1", e.top1_accuracy()},
                         {"top5", e.top5_accuracy()}};
  if (!e.per_sample) json["perplexity"] = e.perplexity();
  return json;
}

run::Report MakeReport(const EvalCommandOptions& options, const Evaluation& e,
                       const std::string& config) {
  run::Report report("Evaluation", options.model.string() + " on " + options.dataset);
  report.AddFact("Loss", fmt::format("{:.4f} nat", e.loss()));
  if (!e.per_sample) report.AddFact("Perplexity", fmt::format("{:.3f}", e.perplexity()));
  report.AddFact("Top-1", fmt::format("{:.2f} %", 100 * e.top1_accuracy()));
  report.AddFact("Top-5", fmt::format("{:.2f} %", 100 * e.top5_accuracy()));
  report.AddRaw("config.toml", config);
  return report;
}

}  // namespace

int RunEval(const EvalCommandOptions& options, const cli::Context& context) {
  const Evaluation evaluation = Evaluate(options, context);
  const nlohmann::json json = ToJson(evaluation);
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, context.common.device),
                          run::WhenExisting(context.common.force, false));
    directory.Record([&] {
      directory.WriteReport(MakeReport(options, evaluation, context.config_toml));
      return json;
    });
  }
  if (context.common.json) {
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("loss {:.4f} nat over {} predictions, ", evaluation.loss(), evaluation.predictions);
    if (!evaluation.per_sample) fmt::print("perplexity {:.3f}, ", evaluation.perplexity());
    fmt::print("top-1 {:.2f} %, top-5 {:.2f} %\n", 100 * evaluation.top1_accuracy(),
               100 * evaluation.top5_accuracy());
  }
  return 0;
}

}  // namespace orchard::lemon_expand
