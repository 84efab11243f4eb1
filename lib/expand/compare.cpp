#include "expand/compare.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "expand/scratch_directory.h"
#include "expand/unit_divergence.h"
#include "nn/network.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

MethodOutcome Grow(const SourceModel& source, Method method, const CompareOptions& options,
                   const fs::path& destination, uint64_t seed, int threads) {
  MethodOutcome outcome{.method = method};
  // Lossy methods need no leave: to see what they lose is the point.
  const MethodOptions how{.method = method};
  const Plan plan = MakePlan(source, options.target, how);
  const ExpandReport report =
      ExpandModel(source, plan, how, destination,
                  {.threads = threads, .seed = seed, .force = true, .hash_sources = false});
  outcome.lossless = plan.lossless;
  outcome.exactness = Name(plan.exactness);
  outcome.layers = plan.target.layers;
  outcome.parameters = plan.parameters();
  outcome.seconds = report.seconds;
  const nn::Network grown = nn::LoadNetwork(destination, at::kFloat, at::kFloat);
  outcome.divergence = grown.resnet() != nullptr ? UnitDivergence(*grown.resnet(), plan)
                                                 : UnitDivergence(*grown.transformer(), plan.maps);
  return outcome;
}

void AddVerification(const VerifyResult& result, MethodOutcome& outcome) {
  outcome.relative = result.relative;
  outcome.loss = result.loss_target;
  outcome.kullback_leibler = result.kullback_leibler;
  outcome.top1_agreement = result.top1_agreement;
  outcome.cosine_difference = result.cosine_difference;
}

}  // namespace

Comparison Compare(const fs::path& source_path, const CompareOptions& options, uint64_t seed,
                   int threads, const std::function<void(std::string_view)>& on_method) {
  const SourceModel source = OpenModel(source_path, {});
  // What is wrong with the question itself is not the methods' to answer.
  ResolveSizes(source.architecture, source.sizes, options.target, {.allow_lossy = true});
  const ScratchDirectory scratch(options.scratch);
  const VerifyOptions inputs{.compute = options.compute,
                             .tokens = options.tokens,
                             .batch = options.batch,
                             .length = options.length};
  Comparison comparison;
  for (const auto& [name, method] : kMethodNames) {
    if (method == Method::kSlices) continue;  // needs a file of its own
    if (on_method) on_method(name);
    const fs::path grown = scratch / "grown";
    try {
      MethodOutcome outcome = Grow(source, method, options, grown, seed, threads);
      const VerifyResult result = Verify(source_path, grown, inputs, seed);
      AddVerification(result, outcome);
      comparison.source_loss = result.loss_source;
      comparison.methods.push_back(std::move(outcome));
    } catch (const ImpossibleError& error) {
      comparison.methods.push_back({.method = method, .refused = error.what()});
    } catch (const UsageError& error) {
      comparison.methods.push_back({.method = method, .refused = error.what()});
    }
  }
  return comparison;
}

}  // namespace orchard::expand
