// lemon-expand plan: what an expansion would give, or sizes near a parameter count.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "arch/resnet.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "expand/planner.h"
#include "lemon-expand/commands.h"
#include "lemon-expand/expand_command.h"

namespace orchard::lemon_expand {
namespace {

using arch::Json;

struct PlanCommandOptions {
  std::filesystem::path source, output;
  expand::TargetOptions target;
  expand::MethodOptions method;
  int64_t target_params = 0;
  int64_t context = 1024;
  int64_t best = 5;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("source", source, "model to grow");
    f("output", output, "write the (best) plan here, for `expand --plan`", cli::Letter('o'));
    f("target_params", target_params, "look for sizes with about this many parameters",
      cli::Count());
    f("context", context, "tokens of a sequence, for the cost of attention", cli::AtLeast(1));
    f("best", best, "candidates to show", cli::Between(1, 100));
    f.Section("target", target);
    f.Section("method", method);
  }
};

// Of a forward pass over a picture of 224 x 224: two for each multiply-add of a convolution and of
// the classifier.
double ResNetFlops(const arch::ResNetShape& shape) {
  double sum = 0;
  for (const arch::ResNetTensor& tensor : arch::ResNetTensors(shape)) {
    if (tensor.shape.size() < 2) continue;
    double products = 2;
    for (const int64_t extent : tensor.shape) products *= static_cast<double>(extent);
    sum += products * static_cast<double>(arch::ResNetPositions(shape, tensor, 224));
  }
  return sum;
}

Json CandidateJson(const expand::Candidate& c) {
  Json json = {
      {"target", expand::ToJson(c.sizes)}, {"parameters", c.parameters}, {"bytes", c.bytes}};
  if (c.sizes.resnet) {
    json["flops_per_image"] = ResNetFlops(*c.sizes.resnet);
  } else {
    json["flops_per_token"] = c.flops_per_token;
  }
  json["exactness"] = expand::Name(c.exactness);
  return json;
}

void PrintCandidates(const std::vector<expand::Candidate>& candidates) {
  fmt::print("{:>8} {:>7} {:>6} {:>9} {:>8} {:>11} {:>12} {:>10}  {}\n", "hidden", "layers",
             "heads", "kv-heads", "ffn", "parameters", "FLOPs/token", "bytes", "class");
  for (const expand::Candidate& c : candidates) {
    fmt::print("{:>8} {:>7} {:>6} {:>9} {:>8} {:>11} {:>12} {:>10}  {}\n", c.sizes.hidden,
               c.sizes.layers, c.sizes.heads, c.sizes.kv_heads, c.sizes.ffn,
               FormatCount(static_cast<double>(c.parameters)), FormatCount(c.flops_per_token),
               FormatBytes(static_cast<uint64_t>(c.bytes)), expand::Name(c.exactness));
  }
}

void Write(const std::filesystem::path& path, const Json& plan) {
  if (!path.empty()) WriteFileAtomically(path, plan.dump(1) + "\n");
}

int RunSearch(const PlanCommandOptions& options, const expand::SourceModel& source, bool json) {
  const auto candidates = expand::PlanSizes(source, options.method,
                                            {.target_parameters = options.target_params,
                                             .context = options.context,
                                             .best = options.best});
  if (candidates.empty())
    throw ImpossibleError("no legal sizes up to four times the width and twice the depth");
  Write(options.output, CandidateJson(candidates[0]));
  if (json) {
    Json list = Json::array();
    for (const expand::Candidate& c : candidates) list.push_back(CandidateJson(c));
    fmt::print("{}\n", Json({{"candidates", list}}).dump());
  } else {
    PrintCandidates(candidates);
  }
  return 0;
}

int RunPlan(const PlanCommandOptions& options, const cli::Context& context) {
  const expand::SourceModel source = expand::OpenModel(options.source, options.method.arch_map);
  if (options.target_params > 0 && source.sizes.resnet) {
    throw ImpossibleError("sizes of ResNets are not searched for", "--target-params",
                          "give --width-per-group, --channels or --depths");
  }
  if (options.target_params > 0) return RunSearch(options, source, context.common.json);
  const expand::Plan plan = expand::MakePlan(source, options.target, options.method);
  expand::Candidate c;
  c.sizes = plan.target;
  if (!plan.target.resnet) c = expand::SizeModel(source).Describe(plan.target, options.context);
  c.parameters = plan.parameters();
  c.bytes = plan.bytes();
  c.exactness = plan.exactness;
  Json json = CandidateJson(c);
  json["method"] = expand::Name(plan.method);
  json["warnings"] = plan.warnings;
  Write(options.output, json);
  if (context.common.json) {
    fmt::print("{}\n", json.dump());
    return 0;
  }
  PrintPlanSummary(source, plan);
  if (plan.target.resnet) {
    fmt::print("  {} FLOPs per image of 224 x 224, {}\n",
               FormatCount(ResNetFlops(*plan.target.resnet)),
               FormatBytes(static_cast<uint64_t>(c.bytes)));
  } else {
    PrintCandidates({c});
  }
  for (const std::string& warning : plan.warnings) fmt::print("note: {}\n", warning);
  return 0;
}

}  // namespace

void AddPlan(cli::Program& program) {
  program.Add<PlanCommandOptions>(
      {.name = "plan",
       .summary = "shows what an expansion would give, or finds sizes near a parameter count",
       .example = "lemon-expand plan all-MiniLM-L6-v2 --target-params 110M"},
      RunPlan);
}

}  // namespace orchard::lemon_expand
