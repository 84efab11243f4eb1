// lemon-expand verify: does the grown model compute what its source computes?
#include "lemon-expand/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "run/progress.h"
#include "run/report.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {
namespace {

using Json = nlohmann::ordered_json;
using expand::Deviation;
using expand::VerifyResult;

Json DeviationJson(const Deviation& d) {
  return {
      {"place", d.place}, {"largest", d.largest}, {"relative", d.relative}, {"padding", d.padding}};
}

Json ResultJson(const VerifyResult& r) {
  Json layers = Json::array(), outputs = Json::array();
  for (const Deviation& d : r.layers) layers.push_back(DeviationJson(d));
  for (const Deviation& d : r.outputs) outputs.push_back(DeviationJson(d));
  Json json = {{"passed", r.passed},     {"exactness", r.exactness}, {"tolerance", r.tolerance},
               {"relative", r.relative}, {"first_bad", r.first_bad}, {"outputs", outputs},
               {"layers", layers}};
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  add("kullback_leibler", r.kullback_leibler);
  add("top1_agreement", r.top1_agreement);
  add("loss_source", r.loss_source);
  add("loss_target", r.loss_target);
  add("cosine_difference", r.cosine_difference);
  json["largest_layer_bytes"] = {{"source", r.source_bytes}, {"target", r.target_bytes}};
  return json;
}

void Print(const VerifyResult& r, bool layerwise) {
  for (const Deviation& d : r.layers) {
    if (layerwise)
      fmt::print("{:<14} largest {:.2e}  padding {:.2e}  relative {:.2e}\n", d.place, d.largest,
                 d.padding, d.relative);
  }
  for (const Deviation& d : r.outputs)
    fmt::print("{:<14} largest {:.2e}  relative {:.2e}\n", d.place, d.largest, d.relative);
  if (r.top1_agreement) {
    fmt::print("top-1 agreement {:.4f}, mean KL {:.2e} nats\n", *r.top1_agreement,
               *r.kullback_leibler);
  }
  if (r.loss_source)
    fmt::print("loss {:.6f} and {:.6f} nats, difference {:.2e}\n", *r.loss_source, *r.loss_target,
               *r.loss_target - *r.loss_source);
  if (r.cosine_difference)
    fmt::print("pairwise cosines of the sequences differ by at most {:.2e}\n",
               *r.cosine_difference);
  fmt::print("{}: tolerance {:.2e}, exactness class {}\n",
             r.passed ? "PASSED" : "FAILED at " + r.first_bad, r.tolerance, r.exactness);
}

run::Report MakeReport(const VerifyCommandOptions& options, const VerifyResult& r,
                       const std::string& config) {
  run::Report report(r.passed ? "The grown model computes the same function"
                              : "The grown model does not compute the same function",
                     options.source.string() + " and " + options.target.string());
  report.AddVerdict(
      r.passed ? run::Verdict::kPass : run::Verdict::kFail,
      fmt::format("Largest relative difference of the outputs: {:.2e}", r.relative),
      fmt::format("tolerance {:.2e} for exactness class {}", r.tolerance, r.exactness));
  AddVerification(report, r);
  report.AddRaw("config.toml", config);
  return report;
}

}  // namespace

void AddVerification(run::Report& report, const VerifyResult& r) {
  run::Table outputs;
  outputs.columns = {"Output", "Largest difference", "Relative"};
  for (const Deviation& d : r.outputs) {
    outputs.rows.push_back({d.place, run::Cell::Shown(fmt::format("{:.2e}", d.largest), d.largest),
                            run::Cell::Shown(fmt::format("{:.2e}", d.relative), d.relative)});
  }
  if (r.cosine_difference) {
    outputs.rows.push_back(
        {"pairwise cosines",
         run::Cell::Shown(fmt::format("{:.2e}", *r.cosine_difference), *r.cosine_difference), "-"});
  }
  report.AddSection("Outputs").AddTable(outputs);
  if (r.layers.empty()) return;
  run::Chart chart;
  chart.title = "Deviation of the residual stream from the source's copies and padding";
  chart.x.title = "layers of the grown model passed";
  chart.y = {.title = "largest relative difference", .logarithmic = true};
  run::Series series{.name = "deviation"};
  for (const Deviation& d : r.layers) {
    series.x.push_back(static_cast<double>(d.layers));
    series.y.push_back(std::max(d.relative, 1e-18));  // a logarithmic axis has no zero
  }
  chart.series.push_back(series);
  report.AddSection("Layer by layer").AddChart(chart);
}

int RunVerify(const VerifyCommandOptions& options, const cli::Context& context) {
  SetThreads(context);
  run::Progress progress("verify", 0, "layers",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  const VerifyResult result = expand::Verify(
      options.source, options.target, options.verify, static_cast<uint64_t>(context.common.seed),
      options.arch_map, [&](int64_t, int64_t) { progress.Advance(); });
  progress.Finish();
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, "cpu"),
                          run::WhenExisting(context.common.force, false));
    directory.Record([&] {
      directory.WriteReport(MakeReport(options, result, context.config_toml));
      return nlohmann::json::parse(ResultJson(result).dump());
    });
  }
  if (context.common.json) {
    fmt::print("{}\n", ResultJson(result).dump());
  } else {
    Print(result, options.verify.layerwise);
  }
  if (!result.passed) {
    throw ImpossibleError("the models differ by " + fmt::format("{:.2e}", result.relative) +
                              " at the outputs, first beyond the tolerance",
                          result.first_bad);
  }
  return 0;
}

}  // namespace orchard::lemon_expand
