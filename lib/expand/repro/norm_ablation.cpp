// R4: a LayerNorm over a padded residual stream is exact only with mean padding, gains times eta
// and epsilon times eta^2 together. Each part is taken out of a grown model by editing its tensors
// and configuration. Source: LEMON, sec. 3.2.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/scratch_directory.h"
#include "expand/repro/experiments.h"
#include "expand/repro/small_model.h"
#include "nn/model_directory.h"

namespace orchard::expand::repro {
namespace {

using arch::Json;

constexpr int64_t kSourceWidth = 64, kTargetWidth = 96;
constexpr double kEpsilon = 1e-5;  // GPT-2's
constexpr double kBound = 1e-4;

struct Variant {
  const char* name;
  bool keep_eta = true, keep_epsilon = true, keep_mean = true;
};
constexpr Variant kVariants[] = {
    {"LEMON: mean padding, gains times eta, epsilon times eta squared"},
    {"source's epsilon", true, false, true},
    {"mean padding, gains as they were", false, true, true},
    {"zero padding, gains and epsilon as they were", false, false, false},
};

// GPT-2 as it is initialised, with gains and biases moved.
Json SourceConfig() {
  return {
      {"model_type", "gpt2"}, {"vocab_size", 64},  {"n_embd", kSourceWidth},        {"n_layer", 3},
      {"n_head", 4},          {"n_positions", 32}, {"layer_norm_epsilon", kEpsilon}};
}

// Whether the last axis of a stored tensor is the residual stream it writes to; GPT-2 stores linear
// maps [in, out].
bool WritesResidual(const std::string& slot) {
  for (const char* part :
       {"embed.token", "embed.position", ".o.weight", ".o.bias", ".fc2.weight", ".fc2.bias"}) {
    if (slot.ends_with(part)) return true;
  }
  return false;
}

// A parameter of the grown model without what the variant leaves out.
at::Tensor Edit(const nn::Parameter& p, const Variant& variant) {
  at::Tensor value = p.value.clone();
  const bool gain = p.slot.ends_with("norm.weight");
  if (gain && !variant.keep_eta) {
    const double eta = std::sqrt(static_cast<double>(kSourceWidth) / kTargetWidth);
    value /= eta;
  }
  if (!variant.keep_mean && WritesResidual(p.slot)) {
    value.narrow(-1, kSourceWidth, kTargetWidth - kSourceWidth).zero_();
  }
  return value;
}

nn::Transformer EditedModel(const nn::ModelDirectory& grown, const Variant& variant) {
  nn::TransformerConfig config = grown.config();
  if (!variant.keep_epsilon) config.norm_eps = kEpsilon;
  const nn::Parameters stored = grown.Load({.dtype = at::kDouble});
  nn::Parameters parameters;
  for (const nn::Parameter& p : stored.all()) {
    parameters.Add({p.name, p.slot, Edit(p, variant)});
  }
  return nn::Transformer(config, std::move(parameters), at::kDouble);
}

}  // namespace

ExperimentResult NormAblation(const ReproOptions& options, const Surroundings& surroundings) {
  const c10::NoGradGuard no_grad;
  const OneThread one_thread;
  const ScratchDirectory scratch(options.scratch);
  std::vector<std::vector<double>> differences(std::size(kVariants));
  for (int64_t run = 0; run < options.runs; ++run) {
    if (surroundings.step) surroundings.step(fmt::format("run {} of {}", run + 1, options.runs));
    const uint64_t seed = surroundings.seed + run;
    WriteSmallModel(scratch / "source", SourceConfig(),
                    {.matrices = 0, .gains = 0.3, .biases = 0.02}, seed);
    Expand(scratch / "source", scratch / "target", {.hidden = kTargetWidth}, {}, seed);
    const auto source = nn::ModelDirectory::Open(scratch / "source");
    const auto grown = nn::ModelDirectory::Open(scratch / "target");
    const nn::Batch batch = RandomBatch(source.config(), 16, seed);
    const at::Tensor expected = Logits(source.LoadTransformer(at::kDouble), batch);
    for (size_t v = 0; v < std::size(kVariants); ++v) {
      differences[v].push_back(
          RelativeDifference(expected, Logits(EditedModel(grown, kVariants[v]), batch)));
    }
  }
  ExperimentResult result;
  result.claim = "Only the full LayerNorm rule keeps the function of a model grown from 64 to 96.";
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = "Largest difference of the logits, relative to the largest logit",
                   .y = {.title = "relative difference", .logarithmic = true}};
  run::Series series{.name = "difference (geometric mean, 95 % interval)"};
  for (size_t v = 0; v < std::size(kVariants); ++v) {
    const bool full = v == 0;
    const Estimate e = GeometricMeanOf(differences[v]);
    result.measurements.push_back(
        {kVariants[v].name, "", e,
         Expectation{full ? Relation::kAtMost : Relation::kAtLeast, kBound, full}});
    chart.categories.push_back(kVariants[v].name);
    series.y.push_back(e.mean);
    series.low.push_back(e.low);
    series.high.push_back(e.high);
  }
  chart.series.push_back(series);
  result.charts.push_back(chart);
  result.notes.push_back(
      "The source is GPT-2 of 3 layers as it is initialised (embeddings of deviation 0.02, where "
      "epsilon matters most), gains and biases moved by noise. Computed in f64.");
  return result;
}

}  // namespace orchard::expand::repro
