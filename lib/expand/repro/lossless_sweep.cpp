// R1: random source models of every block type, grown to widths with and without a remainder and to
// more layers, must compute what they computed.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/scratch_directory.h"
#include "expand/plan.h"
#include "expand/repro/experiments.h"
#include "expand/repro/small_model.h"

namespace orchard::expand::repro {
namespace {

namespace fs = std::filesystem;
using arch::Json;

struct Family {
  const char* title;
  const char* config;
  bool multiples = false;     // no remainder: a norm stands behind the residual sum
  bool whole_heads = false;   // heads are copied equally often, whatever the width
  bool tied_heads = false;    // heads follow the width
  bool resnet = false;        // convolutions; widths in units of 4 channels
  bool all_channels = false;  // likewise: not only inside the blocks
  double f64 = 1e-11;         // largest relative difference
  const char* why = "";       // of another bound
};

// Width 12, two layers; epsilon large enough that a wrong one shows.
const Family kFamilies[] = {
    {.title = "Pre-LN (GPT-2)",
     .config = R"({"model_type": "gpt2", "vocab_size": 31, "n_embd": 12, "n_layer": 2, "n_head": 3,
       "n_positions": 32, "n_inner": 20, "layer_norm_epsilon": 1e-3})",
     .tied_heads = true},
    {.title = "RMSNorm, grouped queries (LLaMA)",
     .config =
         R"({"model_type": "llama", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 20,
       "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "tie_word_embeddings": false})"},
    {.title = "RMSNorm, normed heads (Qwen3)",
     .config =
         R"({"model_type": "qwen3", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 20,
       "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "tie_word_embeddings": true})"},
    {.title = "Post-LN (BERT)",
     .config =
         R"({"model_type": "bert", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 32,
       "layer_norm_eps": 1e-6})",
     .multiples = true,
     .tied_heads = true},
    {.title = "Post-residual RMSNorm (OLMo 2)",
     .config =
         R"({"model_type": "olmo2", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 20,
       "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "tie_word_embeddings": false})",
     .whole_heads = true},
    {.title = "Sandwich (Gemma 2)",
     .config =
         R"({"model_type": "gemma2", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 20,
       "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "sliding_window": 4,
       "query_pre_attn_scalar": 5, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0})",
     .f64 = 2e-6,
     .why = "Gemma's loaders round sqrt(width) to f32, so only rounding of f32 is promised."},
    {.title = "Pre-LN on images (ViT)",
     .config = R"({"model_type": "vit", "hidden_size": 12, "num_hidden_layers": 2,
       "num_attention_heads": 3, "intermediate_size": 20, "image_size": [8, 12], "patch_size": 4,
       "layer_norm_eps": 1e-3})",
     .tied_heads = true},
    {.title = "Bottlenecks (ResNet-50), inner width",
     .config = R"({"model_type": "resnet", "layer_type": "bottleneck", "embedding_size": 4,
       "width_per_group": 4, "depths": [2, 2, 1, 2], "num_channels": 3, "image_size": 40})",
     .resnet = true},
    {.title = "Basic blocks (ResNet-18), all channels",
     .config = R"({"model_type": "resnet", "layer_type": "basic", "embedding_size": 4,
       "width_per_group": 4, "depths": [2, 2, 1, 2], "num_channels": 3, "image_size": 40})",
     .resnet = true,
     .all_channels = true},
};
constexpr int64_t kImageSide = 40;  // of ResNets
constexpr double kF32 = 2e-4;
constexpr double kPostNormEpsilons =
    20;  // a new Post-LN layer adds a plain norm, which has epsilon

struct Case {
  TargetOptions target;
  int64_t width = 0, layers = 2;  // of the target; blocks of a ResNet
  int64_t copies = 1, remainder = 0;
  DepthType depth_type = DepthType::kAuto;
  Placement placement = Placement::kLast;

  bool deeper() const { return target.layers || !target.depths.empty(); }
};

Case Widen(const Family& family, int64_t copies, int64_t remainder) {
  Case c{.width = 12 * copies + remainder, .copies = copies, .remainder = remainder};
  if (family.resnet) {
    c.layers = 7;
    c.width = 4 * copies + remainder;
    c.target.width_per_group = c.width;
    if (family.all_channels) c.target.channels = c.width;
    return c;
  }
  const int64_t part = remainder > 0 && !family.whole_heads;
  c.target.hidden = c.width;
  c.target.ffn = 20 * copies + (remainder > 0 ? 7 : 0);
  if (!family.tied_heads) {  // groups of three query heads
    c.target.kv_heads = 2 * copies + part;
    c.target.heads = 6 * copies + 3 * part;
  }
  return c;
}

// With `layers` layers; of a ResNet, blocks are added in the first, second and last stage.
Case Deepen(const Family& family, Case c, int64_t layers) {
  if (family.resnet) {
    c.target.depths =
        layers > 3 ? std::vector<int64_t>{4, 3, 1, 4} : std::vector<int64_t>{3, 2, 1, 3};
    c.layers = std::accumulate(c.target.depths.begin(), c.target.depths.end(), int64_t{0});
  } else {
    c.layers = layers;
    c.target.layers = layers;
  }
  return c;
}

std::vector<Case> Cases(const Family& family, bool quick) {
  const int64_t part = family.resnet ? 3 : 8;
  std::vector<Case> cases;
  for (int64_t copies = 1; copies <= (quick ? 2 : 3); ++copies) {
    for (const int64_t remainder : {int64_t{0}, part}) {
      if (remainder > 0 && family.multiples) continue;
      const Case wide = Widen(family, copies, remainder);
      if (copies > 1 || remainder > 0) cases.push_back(wide);
      if (quick && !(copies == 1 && remainder > 0) && !family.multiples) continue;
      for (const DepthType type : {DepthType::kZero, DepthType::kCancel}) {
        if (family.resnet && type == DepthType::kCancel) continue;  // a norm stands behind
        Case deep = Deepen(family, wide, 3);
        deep.depth_type = type;
        cases.push_back(deep);
      }
    }
  }
  for (const auto& [name, placement] : kPlacementNames) {
    if (quick) break;
    Case deep = Deepen(family, Widen(family, 2, 0), placement == Placement::kLlamaPro ? 4 : 5);
    deep.placement = placement;
    cases.push_back(deep);
  }
  return cases;
}

// Largest differences of the cases that share a bound.
struct Group {
  double bound_f64 = 0, bound_f32 = 0;
  double f64 = 0, f32 = 0;
  int64_t cases = 0;
};

// A growth that cannot be lossless must be refused. Returns whether it was.
bool IsRefused(const Family& family, const fs::path& source) {
  try {
    const SourceModel model = OpenModel(source, {});
    MakePlan(model, Widen(family, 1, 8).target, {});
  } catch (const ImpossibleError&) {
    return true;
  }
  return false;
}

double Larger(double a, double b) { return std::isnan(b) ? b : std::max(a, b); }

class Sweep {
 public:
  Sweep(const ReproOptions& options, const Surroundings& surroundings)
      : options_(options), surroundings_(surroundings), scratch_(options.scratch) {}

  void Run(const Family& family, uint64_t seed) {
    const Json config = Json::parse(family.config);
    const fs::path source = scratch_ / "source", target = scratch_ / "target";
    WriteSmallModel(source, config, {}, seed);
    const nn::Batch batch =
        family.resnet ? RandomImages(3, kImageSide, kImageSide, seed)
                      : RandomBatch(nn::ParseTransformerConfig(
                                        config, config.at("model_type").get<std::string>()),
                                    9, seed);
    const at::Tensor f64 = Logits(source, batch, at::kDouble);
    const at::Tensor f32 = Logits(source, batch, at::kFloat);
    for (const Case& c : Cases(family, options_.quick)) {
      if (surroundings_.step) surroundings_.step(family.title);
      // Widths that transformers' loaders refuse are as good a test.
      Expand(source, target, c.target,
             {.depth_type = c.depth_type, .placement = c.placement, .allow_odd_heads = true}, seed);
      Group& group = FindGroup(family, c, config);
      ++group.cases;
      const double double_difference = RelativeDifference(f64, Logits(target, batch, at::kDouble));
      const double float_difference = RelativeDifference(f32, Logits(target, batch, at::kFloat));
      group.f64 = Larger(group.f64, double_difference);
      group.f32 = Larger(group.f32, float_difference);
      rows_.push_back(
          {family.title, c.width, c.copies, c.remainder, c.layers, DepthText(c),
           run::Cell::Shown(fmt::format("{:.1e}", double_difference), double_difference),
           run::Cell::Shown(fmt::format("{:.1e}", float_difference), float_difference)});
    }
    if (family.multiples) not_refused_ += IsRefused(family, source) ? 0 : 1;
  }

  ExperimentResult Result() const;

 private:
  static std::string DepthText(const Case& c) {
    if (!c.deeper()) return "";
    for (const auto& [name, placement] : kPlacementNames) {
      if (placement != c.placement || placement == Placement::kLast) continue;
      return name;
    }
    for (const auto& [name, type] : kDepthTypeNames) {
      if (type == c.depth_type && type != DepthType::kAuto) return name;
    }
    return "last";
  }

  Group& FindGroup(const Family& family, const Case& c, const Json& config) {
    const bool plain_norms = family.multiples && c.deeper();
    auto [it, made] =
        groups_.try_emplace(std::string(family.title) + (plain_norms ? ", deeper" : ""));
    if (made) {
      order_.push_back(it->first);
      const double epsilon =
          plain_norms ? kPostNormEpsilons * config.at("layer_norm_eps").get<double>() : 0;
      it->second.bound_f64 = std::max(family.f64, epsilon);
      it->second.bound_f32 = std::max(kF32, epsilon);
    }
    return it->second;
  }

  const ReproOptions& options_;
  const Surroundings& surroundings_;
  ScratchDirectory scratch_;
  std::map<std::string, Group> groups_;
  std::vector<std::string> order_;
  std::vector<std::vector<run::Cell>> rows_;
  int64_t not_refused_ = 0;
};

ExperimentResult Sweep::Result() const {
  ExperimentResult result;
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = "Largest difference of the logits, relative to the largest logit",
                   .y = {.title = "relative difference", .logarithmic = true}};
  run::Series f64{.name = "f64"}, f32{.name = "f32"};
  for (const std::string& name : order_) {
    const Group& g = groups_.at(name);
    const std::string cases = fmt::format("{} ({} models)", name, g.cases);
    result.measurements.push_back(
        {cases + ", f64", "", Single(g.f64), Expectation{Relation::kAtMost, g.bound_f64}});
    result.measurements.push_back(
        {cases + ", f32", "", Single(g.f32), Expectation{Relation::kAtMost, g.bound_f32}});
    chart.categories.push_back(name);
    f64.y.push_back(std::max(g.f64, 1e-18));  // a logarithmic axis has no zero
    f32.y.push_back(std::max(g.f32, 1e-18));
  }
  result.measurements.push_back({"Post-LN with a remainder that was not refused", "",
                                 Single(static_cast<double>(not_refused_)),
                                 Expectation{Relation::kAtMost, 0}});
  chart.series = {f64, f32};
  result.charts.push_back(chart);
  result.tables.push_back(
      {.caption = "Every grown model",
       .columns = {"Source", "Width", "Copies", "Remainder", "Layers", "Depth", "f64", "f32"},
       .rows = rows_});
  return result;
}

}  // namespace

ExperimentResult LosslessSweep(const ReproOptions& options, const Surroundings& surroundings) {
  const OneThread one_thread;
  Sweep sweep(options, surroundings);
  for (const Family& family : kFamilies) {
    const int64_t runs = options.quick ? 1 : options.runs;
    for (int64_t run = 0; run < runs; ++run) sweep.Run(family, surroundings.seed + run);
  }
  ExperimentResult result = sweep.Result();
  result.claim =
      "Growing a model changes none of its outputs: for every block type, width (whole copies or "
      "with a remainder) and depth.";
  result.notes.push_back(
      "Sources are random, with gains away from 1 and biases away from 0, stored in f64; width 12, "
      "two layers, or 4 channels and 2 + 2 + 1 + 2 blocks. Post-LN models take whole copies only, "
      "and a new layer's plain norm may differ "
      "by its epsilon.");
  for (const Family& family : kFamilies) {
    if (*family.why != 0) result.notes.push_back(family.why);
  }
  return result;
}

}  // namespace orchard::expand::repro
