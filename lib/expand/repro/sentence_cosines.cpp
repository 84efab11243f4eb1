// R5: all-MiniLM-L6-v2 grown to twice its width and depth must give sentence embeddings with the
// same pairwise cosines: a real Post-LN model, its own tokenizer, text with padding.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/number_format.h"
#include "base/scratch_directory.h"
#include "expand/plan.h"
#include "expand/repro/experiments.h"
#include "expand/repro/sentences.h"
#include "expand/repro/small_model.h"
#include "io/text/tokenizer.h"
#include "nn/model_directory.h"

namespace orchard::expand::repro {
namespace {

namespace fs = std::filesystem;

constexpr double kBoundF32 = 1e-5, kBoundF64 = 1e-9;

// All sentences as one batch, padded to the longest.
nn::Batch Encode(const text::Tokenizer& tokenizer) {
  std::vector<std::vector<int32_t>> rows;
  size_t longest = 0;
  for (std::string_view sentence : Sentences()) {
    rows.push_back(tokenizer.Encode(sentence, {.pad = false}).ids);
    longest = std::max(longest, rows.back().size());
  }
  const std::vector<int64_t> shape = {std::ssize(rows), static_cast<int64_t>(longest)};
  nn::Batch batch{.tokens = at::zeros(shape, at::kLong),
                  .attention_mask = at::zeros(shape, at::kLong)};
  auto tokens = batch.tokens.accessor<int64_t, 2>();
  auto mask = batch.attention_mask.accessor<int64_t, 2>();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t t = 0; t < rows[i].size(); ++t) {
      tokens[i][t] = rows[i][t];
      mask[i][t] = 1;
    }
  }
  return batch;
}

// Pairwise cosines [N, N] of mean-pooled hidden states.
at::Tensor Cosines(const fs::path& model, const nn::Batch& batch, at::ScalarType dtype) {
  const c10::NoGradGuard no_grad;
  const at::Tensor hidden =
      nn::ModelDirectory::Open(model).LoadTransformer(dtype).Forward(batch).hidden;
  const at::Tensor weights = batch.attention_mask.to(dtype).unsqueeze(-1);
  const at::Tensor pooled = (hidden * weights).sum(1) / weights.sum(1);
  const at::Tensor unit = pooled / pooled.norm(2, -1, true);
  return at::mm(unit, unit.t());
}

double Largest(const at::Tensor& t) { return t.abs().max().to(at::kDouble).item<double>(); }

}  // namespace

ExperimentResult SentenceCosines(const ReproOptions& options, const Surroundings& surroundings) {
  if (options.model.empty()) {
    throw UsageError("R5 needs a model", "--model", "a directory of all-MiniLM-L6-v2");
  }
  const auto step = [&](const char* what) {
    if (surroundings.step) surroundings.step(what);
  };
  const ScratchDirectory scratch(options.scratch);
  const SourceModel source = OpenModel(options.model, {});
  const TargetOptions target{.hidden = 2 * source.sizes.hidden,
                             .ffn = 2 * source.sizes.ffn,
                             .layers = 2 * source.sizes.layers};
  step("expand");
  Expand(options.model, scratch / "target", target, {}, surroundings.seed);
  const nn::Batch batch = Encode(text::Tokenizer::Open(options.model));

  ExperimentResult result;
  result.claim = fmt::format(
      "Growing a real sentence encoder from {} to {} layers and width {} to {} leaves every cosine "
      "between sentences where it was.",
      source.sizes.layers, *target.layers, source.sizes.hidden, *target.hidden);
  for (const auto& [name, dtype, bound] :
       {std::tuple("f32", at::kFloat, kBoundF32), std::tuple("f64", at::kDouble, kBoundF64)}) {
    step(name);
    const at::Tensor before = Cosines(options.model, batch, dtype);
    const at::Tensor after = Cosines(scratch / "target", batch, dtype);
    result.measurements.push_back({fmt::format("largest difference of a cosine, {}", name), "",
                                   Single(Largest(after - before)),
                                   Expectation{Relation::kAtMost, bound}});
    if (dtype != at::kDouble) continue;
    // A constant embedding would pass; these must differ.
    const at::Tensor pairs = before.triu(1);
    result.measurements.push_back({"range of the cosines between different sentences", "",
                                   Single((pairs.max() - pairs.min()).item<double>()),
                                   Expectation{Relation::kAtLeast, 0.5}});
  }
  result.notes.push_back(fmt::format(
      "{} sentences on many subjects, {} to {} tokens, in one padded batch; embeddings are "
      "mean-pooled hidden states of unit length. The grown model is stored in the source's type.",
      Sentences().size(), batch.attention_mask.sum(1).min().item<int64_t>(),
      batch.attention_mask.sum(1).max().item<int64_t>()));
  return result;
}

}  // namespace orchard::expand::repro
