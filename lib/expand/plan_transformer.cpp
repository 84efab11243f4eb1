// The plan of a Transformer: decisions for the whole model, then every tensor by its row of the
// architecture's table.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "expand/config_edit.h"
#include "expand/make_op.h"
#include "expand/new_layers.h"
#include "expand/plan.h"
#include "expand/sizes.h"
#include "expand/slices.h"
#include "expand/source_tensors.h"

namespace orchard::expand {
namespace {

using arch::Kind;
using arch::Match;
using arch::Norm;
using io::DType;

class Builder {
 public:
  Builder(const SourceModel& source, const TargetOptions& target, const MethodOptions& options)
      : source_(source),
        a_(source.architecture),
        options_(options),
        recipe_(RecipeOf(options, source.architecture)) {
    arch::CheckRefusals(a_, a_.refuse, source.config, "config.json");
    CheckSizesPresent(source);
    plan_.method = options.method;
    plan_.source = source.sizes;
    plan_.target = ResolveSizes(a_, source.sizes, target, options);
    CheckReachable(source, plan_.target, recipe_, options);
    plan_.layers = ChooseLayers();
    plan_.target.layers = static_cast<int64_t>(plan_.layers.size());
    plan_.maps = MakeMaps(plan_.source, plan_.target, recipe_, 0);
    if (recipe_.mix) mixes_ = MakeMixMaps(plan_.source, plan_.target, 0);
    plan_.lossless = recipe_.lossless && !options.allow_lossy;
    share_ = recipe_.correct_norms ? ResidualShare(plan_.maps) : 1.0;
    eta_ = std::sqrt(share_);
    tied_ = IsTied();
    untie_ = tied_ && recipe_.untie;
    const bool cancel = ChooseNoise();
    CheckWideHeadNorm();
    tensors_.emplace(source, tied_);
    new_layers_.emplace(source, plan_, recipe_, *tensors_, cancel);
  }

  Plan Build() {
    for (const auto& [info, match] : tensors_->all()) AddTensor(*info, match);
    if (untie_) AddUntiedHead();
    std::sort(plan_.tensors.begin(), plan_.tensors.end(),
              [](const TensorOp& x, const TensorOp& y) { return x.name < y.name; });
    plan_.epsilon_before = arch::Epsilon(a_, source_.config);
    plan_.epsilon_after = a_.fixed_epsilon ? *a_.fixed_epsilon : plan_.epsilon_before * share_;
    plan_.config = EditConfig(source_, plan_, options_, untie_);
    for (const TensorOp& op : plan_.tensors)
      plan_.exactness = std::max(plan_.exactness, op.exactness);
    AddWarnings();
    return std::move(plan_);
  }

 private:
  // ---- decisions for the whole model
  // -------------------------------------------------------------------------------------------

  std::vector<LayerPlan> ChooseLayers() const {
    const int64_t from = plan_.source.layers, to = plan_.target.layers;
    switch (options_.method) {
      case Method::kLlamaPro:
        return PlaceLayers(from, to, Placement::kLlamaPro);
      case Method::kInterpolate:
        return InterpolateLayers(from, to);
      case Method::kSolar: {
        const int64_t drop = options_.solar_drop > 0 ? options_.solar_drop : from - (to + 1) / 2;
        return to == from ? StackLayers(from, from) : SolarLayers(from, drop);
      }
      case Method::kLesa:
        return BetweenLayers(from, to);
      case Method::kSlices:
        return ReadSlices(options_.slices, from);
      default:
        break;
    }
    if (recipe_.mix) return BlendLayers(from, to);
    if (recipe_.depth == Recipe::Depth::kCopy) return StackLayers(from, to);
    return PlaceLayers(from, to, options_.placement);
  }

  bool IsTied() const {
    const Json tied = arch::ConfigValue(a_, source_.config, a_.keys.tied);
    return tied.is_boolean() && tied.get<bool>();
  }

  // The family's initialiser, times 0.1 for text (LEMON, app. B; docs/methods/lemon-expand.md).
  // Returns whether the output maps of new layers cancel.
  bool ChooseNoise() {
    const Json range =
        source_.config.contains("initializer_range") ? source_.config["initializer_range"] : Json();
    const double base = range.is_number() && range.get<double>() > 0 ? range.get<double>() : 0.02;
    initializer_ = base;
    const double family = a_.image ? 1.0 : 0.1;
    sigma_ = options_.noise_scale * family * base;
    pad_sigma_ = options_.pad_scale * family * base;
    const bool cancel = options_.depth_type == DepthType::kCancel ||
                        (options_.depth_type == DepthType::kAuto && a_.image);
    return cancel && options_.method != Method::kLlamaPro;
  }

  bool HasWideHeadNorm() const {
    return std::any_of(a_.rules.begin(), a_.rules.end(),
                       [](const arch::TensorRule& r) { return r.kind == Kind::kWideHeadNorm; });
  }

  void CheckWideHeadNorm() const {
    if (!HasWideHeadNorm() || !plan_.lossless) return;
    const auto even = [](const AxisMap& heads) { return heads.uniform() && heads.pads() == 0; };
    if (!even(*plan_.maps.query_heads) || !even(*plan_.maps.kv_heads)) {
      throw ImpossibleError(
          a_.model_type +
              " normalises across all heads, so every head needs the same number of copies",
          "--heads " + std::to_string(plan_.target.heads),
          "nearest legal: a multiple of " + std::to_string(plan_.source.heads) + " heads and of " +
              std::to_string(plan_.source.kv_heads) + " key-value heads");
    }
  }

  void AddTensor(const io::TensorInfo& info, const Match& match) {
    if (match.layer < 0) {
      plan_.tensors.push_back(MakeOp(info, match, info.name, nullptr, -1));
      return;
    }
    for (size_t t = 0; t < plan_.layers.size(); ++t) {
      const LayerPlan& layer = plan_.layers[t];
      if (layer.source != match.layer) continue;
      const std::string name = TargetName(info.name, match, static_cast<int64_t>(t));
      plan_.tensors.push_back(MakeOp(info, match, name, &layer, static_cast<int64_t>(t)));
    }
  }

  // Old spellings (gamma, beta) stay as they were.
  std::string TargetName(const std::string& source_name, const Match& match, int64_t layer) const {
    std::string name = arch::Architecture::NameOf(match, layer, match.expert);
    for (const auto& [old_suffix, new_suffix] : a_.renames) {
      if (source_name.ends_with("." + old_suffix)) {
        name.replace(name.size() - new_suffix.size(), new_suffix.size(), old_suffix);
      }
    }
    return name;
  }

  // ---- one tensor
  // --------------------------------------------------------------------------------------------------------------

  TensorOp MakeOp(const io::TensorInfo& info, const Match& match, const std::string& name,
                  const LayerPlan* layer, int64_t target_layer) {
    TensorOp op = StartOp(info, name, options_);
    op.sigma = sigma_;
    op.pad_sigma = pad_sigma_;
    const std::string role = RoleOf(match);
    switch (match.rule->kind) {
      case Kind::kLinear:
      case Kind::kLinearTransposed:
      case Kind::kConv:
      case Kind::kEmbedding:
        MakeMatrix(info, match, role, op);
        break;
      case Kind::kBias:
        MakeBias(info, match, role, op);
        break;
      case Kind::kNormWeight:
      case Kind::kNormBias:
      case Kind::kLayerScale:
        MakeNorm(info, match, role, op);
        break;
      case Kind::kWideHeadNorm:
        MakeVector(info, match, op);
        op.policy = "copied with its heads";
        break;
      default:
        break;
    }
    if (recipe_.fresh) MakeFresh(match, op);
    if (recipe_.mix) MakeMix(info, match, layer, op);
    if (layer) {
      new_layers_->Apply(match, target_layer, op);
      const bool aki = layer->neutral && options_.inner == Inner::kAki;
      if (recipe_.new_rows_from_next || aki) new_layers_->TakeNewRowsFromNext(match, *layer, op);
    }
    if (!plan_.lossless) op.exactness = Exactness::kApproximate;
    return op;
  }

  AxisMapPtr MapOf(const std::string& axis, int64_t stored_extent) const {
    return MapIn(plan_.maps, axis, stored_extent);
  }

  template <class Map>
  std::shared_ptr<const Map> MapIn(const GrownAxes<Map>& maps, const std::string& axis,
                                   int64_t stored_extent) const {
    if (axis == "R") return maps.residual;
    if (axis == "T") return maps.transform;
    if (axis == "H") return maps.query;
    if (axis == "G") return maps.key_value;
    if (axis == "F") return maps.hidden;
    if (axis == "H*3") {
      return std::make_shared<const Map>(Map::Blocks(*maps.query_heads, 3 * plan_.source.head_dim));
    }
    if (axis.find('+') != std::string::npos) {
      std::vector<Map> parts;
      for (size_t at = 0; at <= axis.size();) {
        const size_t end = std::min(axis.find('+', at), axis.size());
        parts.push_back(*MapIn(maps, axis.substr(at, end - at), 0));
        at = end + 1;
      }
      return std::make_shared<const Map>(Map::Concatenate(parts));
    }
    return std::make_shared<const Map>(Map::Identity(stored_extent));
  }

  // What fills target rows without a source. Only the residual stream, and every axis of zero
  // padding, has such rows.
  RowPad RowPadOf(const std::string& out_axis, const std::string& role) const {
    if (options_.method == Method::kZeroPad)
      return out_axis == "R" ? RowPad::kZero : RowPad::kNoise;
    if (out_axis != "R" || a_.norm == Norm::kRms) return RowPad::kZero;
    const bool feeds_norm = a_.block != arch::Block::kPostResidual || WritesResidual(role);
    return feeds_norm ? RowPad::kMean : RowPad::kZero;
  }

  void MakeMatrix(const io::TensorInfo& info, const Match& match, const std::string& role,
                  TensorOp& op) {
    const std::vector<std::string>& axes = match.rule->axes;
    const bool embedding = match.rule->kind == Kind::kEmbedding;
    const bool transposed = embedding || match.rule->kind == Kind::kLinearTransposed;
    CheckAxes(source_, info, axes.size());
    const size_t out = transposed ? axes.size() - 1 : 0, in = transposed ? 0 : 1;
    SetMatrix(source_, info, axes, transposed, MapOf(axes[out], info.shape[out]),
              embedding ? nullptr : MapOf(axes[in], info.shape[in]), op);
    op.row_pad = RowPadOf(axes[out], role);
    SetSplit(recipe_.split, options_, op);
    op.column_pad = options_.method == Method::kZeroPad && axes[in] != "R" ? ColumnPad::kZero
                                                                           : ColumnPad::kNoise;
    if (role == "embed.token") op.scale = EmbeddingScale();
    if (SharesEpsilon(role)) op.scale = eta_;
    SetMeanWeights(match, role, op);
    if (embedding) op.dtype = Widen(options_.embed_dtype, op.dtype, op.scale != 1);
    op.exactness = MatrixExactness(op);
    op.policy = MatrixPolicy(op);
  }

  // Activations are multiplied by sqrt(hidden): sqrt(D_S / D_T) on the table keeps them.
  double EmbeddingScale() const {
    if (!a_.embedding_scaled_by_sqrt_hidden || !plan_.lossless) return 1;
    return std::sqrt(static_cast<double>(plan_.source.hidden) /
                     static_cast<double>(plan_.target.hidden));
  }

  // Query and key norms that read the same epsilon as the block norms see their input times eta
  // (qwen3, olmo2).
  bool SharesEpsilon(const std::string& role) const {
    return share_ != 1 && (role == "q" || role == "k") &&
           (a_.head_norm_shares_epsilon || HasWideHeadNorm());
  }

  // Padding rows hold the mean of what enters the residual stream, which LayerScale has multiplied.
  void SetMeanWeights(const Match& match, const std::string& role, TensorOp& op) const {
    if (op.row_pad != RowPad::kMean || op.rows->pads() == 0 || match.layer < 0) return;
    if (role != "o" && role != "fc2") return;
    const std::string slot =
        "layer." + std::to_string(match.layer) + (role == "o" ? ".attn_scale" : ".mlp_scale");
    if (const io::TensorInfo* scale = tensors_->InSlot(slot)) op.mean_weights = scale->name;
  }

  static DType Widen(Widened wish, DType dtype, bool automatic) {
    if (wish == Widened::kKeep || (wish == Widened::kAuto && !automatic)) return dtype;
    return dtype == DType::kF64 ? dtype : DType::kF32;
  }

  void MakeVector(const io::TensorInfo& info, const Match& match, TensorOp& op) const {
    CheckAxes(source_, info, 1);
    const std::string& axis = match.rule->axes[0];
    SetVector(source_, info, axis, MapOf(axis, info.shape[0]), op);
  }

  void MakeBias(const io::TensorInfo& info, const Match& match, const std::string& role,
                TensorOp& op) {
    MakeVector(info, match, op);
    op.row_pad = RowPadOf(match.rule->axes[0], role);
    const bool mean = op.row_pad == RowPad::kMean;
    op.vector_pad = mean ? VectorPad::kMean : VectorPad::kZero;
    if (SharesEpsilon(role)) op.scale = eta_;
    if (mean && op.rows->pads() > 0) op.exactness = Exactness::kRounded;
    SetMeanWeights(match, role, op);
    if (op.scale != 1) op.exactness = Exactness::kRounded;
    op.policy = op.rows->pads() > 0 ? "copied, padded" : "copied";
  }

  // ---- norms
  // -------------------------------------------------------------------------------------------------------------------

  void MakeNorm(const io::TensorInfo& info, const Match& match, const std::string& role,
                TensorOp& op) {
    MakeVector(info, match, op);
    if (match.rule->kind == Kind::kLayerScale) {
      op.vector_pad = VectorPad::kOne;
      op.policy = "copied, padded with one";
      return;
    }
    const bool weight = match.rule->kind == Kind::kNormWeight;
    double factor = weight ? eta_ : 1;
    if (FoldsHead(role)) factor *= HeadFold();
    const bool one_plus = weight && a_.gain == arch::Gain::kOnePlus;
    op.scale = factor;
    op.offset = one_plus ? factor - 1 : 0;
    if (weight && recipe_.correct_norms) {
      op.vector_pad = VectorPad::kUniform;
      op.pad_scale = eta_ * options_.pad_gamma;
      op.pad_offset = one_plus ? -1 : 0;
    }
    if (factor != 1)
      op.dtype = Widen(options_.norm_dtype, op.dtype, !PowerOfTwo(factor) || one_plus);
    op.exactness = NormExactness(factor, one_plus, op.dtype);
    op.policy = "copied" + std::string(factor != 1 ? ", scaled" : "") +
                (op.rows->pads() > 0 ? ", padded" : "");
  }

  Exactness NormExactness(double factor, bool one_plus, DType dtype) const {
    if (factor == 1 || (PowerOfTwo(factor) && !one_plus)) return Exactness::kExact;
    return dtype == DType::kF32 || dtype == DType::kF64 ? Exactness::kNormRounded
                                                        : Exactness::kRounded;
  }

  // With a tied head, copies of the residual stream make logits that many times too large: the norm
  // before the head takes it back.
  bool FoldsHead(const std::string& role) const {
    if (!tied_ || untie_ || !plan_.lossless) return false;
    return tensors_->InSlot("mlm.norm.weight") ? role == "mlm.norm"
                                               : role == "final_norm";  // the norm before the head
  }

  double HeadFold() const {
    return 1.0 / static_cast<double>(ResidualCopies(plan_.maps)) / EmbeddingScale();
  }

  // Gemma's head is tied unless asked otherwise; a table of its own is split like any reader of the
  // residual stream.
  void AddUntiedHead() {
    const auto rule = std::find_if(a_.rules.begin(), a_.rules.end(), [](const arch::TensorRule& r) {
      return r.slot == "head.weight";
    });
    const io::TensorInfo* table = tensors_->InSlot("embed.token");
    if (rule == a_.rules.end() || !table)
      throw ImpossibleError(a_.model_type + " has no output head to untie", "--untie");
    const auto& all = tensors_->all();
    const auto embedding =
        std::find_if(all.begin(), all.end(), [&](const auto& pair) { return pair.first == table; });
    Match head{&*rule, embedding->second.prefix};
    TensorOp op = MakeOp(*table, head, arch::Architecture::NameOf(head, -1, -1), nullptr, -1);
    plan_.tensors.push_back(op);
  }

  // LiGO's start: old units stay, new ones are convex sums of old ones, on both sides of every map;
  // layers are interpolated.
  void MakeMix(const io::TensorInfo& info, const Match& match, const LayerPlan* layer,
               TensorOp& op) const {
    if (op.kind != OpKind::kMatrix && op.kind != OpKind::kVector) return;
    const std::vector<std::string>& axes = match.rule->axes;
    const bool embedding = match.rule->kind == Kind::kEmbedding;
    const size_t out = op.transposed ? axes.size() - 1 : 0;
    op.mix_rows = MapIn(mixes_, axes[out], info.shape[out]);
    if (op.kind == OpKind::kVector || embedding) {
      op.mix_columns = std::make_shared<const MixMap>(
          MixMap::Identity(op.kind == OpKind::kVector ? 1 : op.columns->size()));
    } else {
      op.mix_columns = MapIn(mixes_, axes[op.transposed ? 0 : 1], op.columns->source_size());
    }
    op.kind = OpKind::kMix;
    op.source_weights = {1};
    op.policy = "convex sums of units";
    if (!layer || layer->next_share == 0) return;
    op.sources.push_back(tensors_->NameInLayer(match, layer->source + 1));
    op.source_weights = {1 - layer->next_share, layer->next_share};
    op.policy += " and of two layers";
  }

  void MakeFresh(const Match& match, TensorOp& op) const {
    const Kind kind = match.rule->kind;
    if (op.kind == OpKind::kMatrix) {
      DrawFresh(op, initializer_);
    } else if (kind == Kind::kBias || kind == Kind::kNormBias) {
      Fill(op, 0, "fresh");
    } else if (kind == Kind::kNormWeight || kind == Kind::kHeadNorm ||
               kind == Kind::kWideHeadNorm) {
      Fill(op, a_.gain == arch::Gain::kOnePlus ? 0 : 1, "fresh");
    }
  }

  void AddWarnings() {
    if (a_.fixed_epsilon && share_ != 1) {
      plan_.exactness = Exactness::kApproximate;
      plan_.warnings.push_back(
          a_.model_type +
          " fixes the epsilon of its norms in code, so the padded width is exact only up to " +
          "epsilon (1 - s) / (2 variance)");
    }
    if (plan_.maps.residual->pads() > 0 && plan_.exactness == Exactness::kNormRounded &&
        plan_.lossless) {
      plan_.warnings.push_back(
          "norm gains are stored in f32; a loader that forces one dtype will round them");
    }
    if (a_.hidden_divisible_by_heads && plan_.target.hidden % plan_.target.heads != 0) {
      plan_.warnings.push_back("transformers refuses to load " + a_.model_type +
                               " where heads do not divide hidden");
    }
  }

  const SourceModel& source_;
  const arch::Architecture& a_;
  const MethodOptions& options_;
  Recipe recipe_;
  Plan plan_;
  std::optional<SourceTensors> tensors_;
  std::optional<NewLayers> new_layers_;
  double share_ = 1, eta_ = 1, sigma_ = 0, pad_sigma_ = 0, initializer_ = 0.02;
  MixMaps mixes_;
  bool tied_ = false, untie_ = false;
};

}  // namespace

Plan PlanTransformer(const SourceModel& source, const TargetOptions& target,
                     const MethodOptions& options) {
  return Builder(source, target, options).Build();
}

}  // namespace orchard::expand
