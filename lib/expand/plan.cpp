#include "expand/plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/error.h"
#include "expand/config_edit.h"
#include "expand/sizes.h"
#include "expand/slices.h"
#include "io/printable.h"

namespace orchard::expand {
namespace {

using arch::Kind;
using arch::Match;
using arch::Norm;
using io::DType;

// Slot of the rule without "layer.{i}." and the ".weight" / ".bias" at its end: "q", "attn_norm",
// "expert.{e}.down".
std::string Role(const Match& match) {
  std::string role = match.rule->slot;
  if (role.starts_with("layer.{i}.")) role = role.substr(10);
  for (const char* end : {".weight", ".bias"}) {
    if (role.ends_with(end)) role.resize(role.size() - std::string(end).size());
  }
  return role;
}

// The maps that end a sub-block and write into the residual stream.
bool WritesResidual(const std::string& role) {
  return role == "o" || role == "fc2" || role == "down" || role.ends_with(".down");
}

DType ToDType(StoredType type, DType keep) {
  switch (type) {
    case StoredType::kF32:
      return DType::kF32;
    case StoredType::kBf16:
      return DType::kBF16;
    case StoredType::kF16:
      return DType::kF16;
    case StoredType::kF64:
      return DType::kF64;
    default:
      return keep;
  }
}

bool PowerOfTwo(double value) {
  int exponent;
  return std::frexp(value, &exponent) == 0.5;
}

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
    ChooseNoise();
    CheckWideHeadNorm();
  }

  Plan Build() {
    MatchSource();
    for (const auto& [info, match] : matches_) AddTensor(*info, match);
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
  void ChooseNoise() {
    const Json range =
        source_.config.contains("initializer_range") ? source_.config["initializer_range"] : Json();
    const double base = range.is_number() && range.get<double>() > 0 ? range.get<double>() : 0.02;
    initializer_ = base;
    const double family = a_.image ? 1.0 : 0.1;
    sigma_ = options_.noise_scale * family * base;
    pad_sigma_ = options_.pad_scale * family * base;
    const bool cancel = options_.depth_type == DepthType::kCancel ||
                        (options_.depth_type == DepthType::kAuto && a_.image);
    neutral_split_ = cancel && options_.method != Method::kLlamaPro;
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

  // ---- source tensors
  // ----------------------------------------------------------------------------------------------------------

  void MatchSource() {
    std::vector<std::string> unknown;
    std::set<std::string> slots;
    for (const io::TensorInfo& info : source_.weights.tensors()) {
      const auto match = a_.Find(info.name);
      if (!match) {
        unknown.push_back(info.name);
        continue;
      }
      if (match->layer >= plan_.source.layers) {
        throw DataError("the configuration has " + std::to_string(plan_.source.layers) + " layers",
                        source_.weights.Where(info));
      }
      if (match->rule->kind == Kind::kDrop) continue;
      if (tied_ && match->Slot() == "head.weight") continue;  // the embedding table is the head
      slots.insert(match->Slot());
      matches_.emplace_back(&info, *match);
    }
    if (!unknown.empty())
      throw DataError(UnknownText(unknown), source_.path.string(),
                      "--arch-map FILE describes them");
    CheckComplete(slots);
    for (const auto& [info, match] : matches_) by_slot_[match.Slot()] = info;
  }

  static std::string UnknownText(const std::vector<std::string>& names) {
    std::string text =
        std::to_string(names.size()) + " unknown tensor" + (names.size() > 1 ? "s" : "") + ": ";
    for (size_t i = 0; i < names.size() && i < 5; ++i)
      text += (i ? ", " : "") + io::Printable(names[i]);
    return text + (names.size() > 5 ? ", ..." : "");
  }

  void CheckComplete(const std::set<std::string>& slots) const {
    for (const arch::TensorRule& rule : a_.rules) {
      if (rule.optional || rule.name.find("{e}") != std::string::npos) continue;
      const bool per_layer = rule.name.find("{i}") != std::string::npos;
      for (int64_t i = 0; i < (per_layer ? plan_.source.layers : 1); ++i) {
        const Match wanted{&rule, a_.prefixes[0], per_layer ? i : -1};
        if (!slots.contains(wanted.Slot())) {
          throw DataError("tensor is missing: " + arch::Architecture::NameOf(wanted, i, 0),
                          source_.path.string());
        }
      }
    }
  }

  // The source tensor in a slot, nullptr when absent.
  const io::TensorInfo* InSlot(const std::string& slot) const {
    const auto it = by_slot_.find(slot);
    return it == by_slot_.end() ? nullptr : it->second;
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
    TensorOp op;
    op.name = name;
    op.dtype = io::IsFloat(info.dtype) ? ToDType(options_.dtype, info.dtype) : info.dtype;
    op.sources = {info.name};
    op.sigma = sigma_;
    op.pad_sigma = pad_sigma_;
    const std::string role = Role(match);
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
        op.kind = OpKind::kCopy;
        op.shape = info.shape;
        op.policy = "copied";
    }
    if (recipe_.fresh) MakeFresh(match, op);
    if (recipe_.mix) MakeMix(info, match, layer, op);
    op.new_layer = layer && layer->neutral;
    if (layer) ApplyDepth(match, role, *layer, target_layer, op);
    if (recipe_.new_rows_from_next || (layer && layer->neutral && options_.inner == Inner::kAki)) {
      TakeNewRowsFromNext(match, layer, op);
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

  [[noreturn]] void ThrowShape(const io::TensorInfo& info, const std::string& expected) const {
    std::string shape;
    for (int64_t extent : info.shape)
      shape += (shape.empty() ? "[" : ", ") + std::to_string(extent);
    throw DataError(
        "shape " + (shape.empty() ? "[" : shape) + "] where the configuration gives " + expected,
        source_.weights.Where(info));
  }

  void CheckExtent(const io::TensorInfo& info, int64_t stored, const AxisMap& map,
                   const std::string& axis) const {
    if (stored != map.source_size())
      ThrowShape(info, std::to_string(map.source_size()) + " for axis " + axis);
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
    if (info.shape.size() != axes.size()) ThrowShape(info, std::to_string(axes.size()) + " axes");
    op.kind = OpKind::kMatrix;
    op.shape = info.shape;
    const bool embedding = match.rule->kind == Kind::kEmbedding;
    op.transposed = embedding || match.rule->kind == Kind::kLinearTransposed;
    const size_t out = op.transposed ? axes.size() - 1 : 0;
    const size_t in = op.transposed ? 0 : 1;
    op.rows = MapOf(axes[out], info.shape[out]);
    CheckExtent(info, info.shape[out], *op.rows, axes[out]);
    op.shape[out] = op.rows->size();
    if (embedding) {
      const int64_t entries = info.elements() / std::max<int64_t>(1, info.shape[out]);
      op.columns = std::make_shared<const AxisMap>(AxisMap::Identity(entries));
    } else {
      op.columns = MapOf(axes[in], info.shape[in]);
      CheckExtent(info, info.shape[in], *op.columns, axes[in]);
      op.shape[in] = op.columns->size();
    }
    for (size_t axis = 2; axis < axes.size() && !op.transposed; ++axis)
      op.passengers *= info.shape[axis];
    op.row_pad = RowPadOf(axes[out], role);
    op.split = recipe_.split;
    if (op.split == Split::kPairs) {
      // Against the power of what noise is added to: the weight's share of each copy.
      const auto& copies = op.columns->copies();
      op.relative_sigma = std::pow(10.0, -options_.hypercloning_snr / 20) /
                          static_cast<double>(copies.empty() ? 1 : copies[0]);
    }
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
    if (const io::TensorInfo* scale = InSlot(slot)) op.mean_weights = scale->name;
  }

  static DType Widen(Widened wish, DType dtype, bool automatic) {
    if (wish == Widened::kKeep || (wish == Widened::kAuto && !automatic)) return dtype;
    return dtype == DType::kF64 ? dtype : DType::kF32;
  }

  Exactness MatrixExactness(const TensorOp& op) const {
    if (op.scale != 1 && !PowerOfTwo(op.scale)) return Exactness::kRounded;
    if (op.row_pad == RowPad::kMean && op.rows->pads() > 0) return Exactness::kRounded;
    const auto& copies = op.columns->copies();
    const bool split = std::any_of(copies.begin(), copies.end(), [](int64_t n) { return n > 1; });
    if (!split || op.split == Split::kGrid || op.split == Split::kCancel ||
        op.split == Split::kPairs)
      return Exactness::kExact;
    if (op.split != Split::kEqual) return Exactness::kRounded;
    const bool powers =
        std::all_of(copies.begin(), copies.end(), [](int64_t n) { return (n & (n - 1)) == 0; });
    return powers ? Exactness::kExact : Exactness::kRounded;
  }

  static std::string MatrixPolicy(const TensorOp& op) {
    const auto part = [](const AxisMap& map, const char* pad) -> std::string {
      if (map.identity()) return "kept";
      return map.pads() > 0 ? std::string("copied, ") + pad : "copied";
    };
    const char* row_pad = op.row_pad == RowPad::kMean    ? "padded with the mean"
                          : op.row_pad == RowPad::kNoise ? "padded with noise"
                                                         : "padded with zero";
    const std::string rows = "rows " + part(*op.rows, row_pad);
    const bool split = !op.columns->identity();
    return rows + (split ? ", columns split" +
                               std::string(op.columns->pads() > 0 ? ", noise on padding" : "")
                         : ", columns kept");
  }

  void MakeVector(const io::TensorInfo& info, const Match& match, TensorOp& op) const {
    if (info.shape.size() != 1) ThrowShape(info, "1 axis");
    op.kind = OpKind::kVector;
    op.rows = MapOf(match.rule->axes[0], info.shape[0]);
    CheckExtent(info, info.shape[0], *op.rows, match.rule->axes[0]);
    op.shape = {op.rows->size()};
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
    return InSlot("mlm.norm.weight") ? role == "mlm.norm"
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
    const io::TensorInfo* table = InSlot("embed.token");
    if (rule == a_.rules.end() || !table)
      throw ImpossibleError(a_.model_type + " has no output head to untie", "--untie");
    const auto embedding = std::find_if(matches_.begin(), matches_.end(),
                                        [&](const auto& pair) { return pair.first == table; });
    Match head{&*rule, embedding->second.prefix};
    TensorOp op = MakeOp(*table, head, arch::Architecture::NameOf(head, -1, -1), nullptr, -1);
    plan_.tensors.push_back(op);
  }

  // ---- depth
  // -------------------------------------------------------------------------------------------------------------------

  void ApplyDepth(const Match& match, const std::string& role, const LayerPlan& layer,
                  int64_t target_layer, TensorOp& op) {
    if (a_.block == arch::Block::kPost && recipe_.depth == Recipe::Depth::kNeutral) {
      ApplyPostNormDepth(match, role, layer, target_layer, op);
    }
    if (WritesResidual(role)) op.scale *= role == "o" ? layer.attention_scale : layer.mlp_scale;
    if (!layer.neutral || recipe_.depth == Recipe::Depth::kCopy) return;
    const bool post_norms =
        a_.block == arch::Block::kPostResidual || a_.block == arch::Block::kSandwich;
    if (post_norms) {
      if (role == "attn_post_norm" || role == "mlp_post_norm") {
        const bool one_plus =
            a_.gain == arch::Gain::kOnePlus && match.rule->kind == Kind::kNormWeight;
        Fill(op, one_plus ? -1 : 0, "neutral layer: norm silenced");
      }
      return;
    }
    if (!WritesResidual(role)) return;
    const bool bias = match.rule->kind == Kind::kBias;
    if (neutral_split_ && !bias && a_.block == arch::Block::kPre) {
      op.split = Split::kCancel;
      op.row_pad = RowPad::kZero;
      op.mean_weights.clear();
      op.exactness = Exactness::kExact;
      op.policy = "neutral layer: parts cancel";
    } else {
      Fill(op, 0, "neutral layer: zero");
    }
  }

  // LN(LN_{1,0}(z)) = LN(z) up to epsilon: the layer before a neutral one ends in (1, 0), and the
  // neutral one ends in the gain and bias of the last layer that is not neutral.
  void ApplyPostNormDepth(const Match& match, const std::string& role, const LayerPlan& layer,
                          int64_t target_layer, TensorOp& op) {
    if (role != "attn_norm" && role != "mlp_norm") return;
    const double unit = match.rule->kind == Kind::kNormWeight ? 1 : 0;
    const bool before_neutral =
        target_layer + 1 < plan_.target.layers && plan_.layers[target_layer + 1].neutral;
    if (role == "attn_norm") {
      if (layer.neutral) Fill(op, unit, "neutral layer: plain norm");
    } else if (before_neutral) {
      Fill(op, unit, "before a neutral layer: plain norm");
    } else if (layer.neutral) {
      int64_t last = target_layer;
      while (plan_.layers[last].neutral) --last;
      op.sources = {NameInLayer(match, plan_.layers[last].source)};
      op.policy = "neutral layer: norm of the layer before";
    }
    if (before_neutral || layer.neutral) op.exactness = Exactness::kApproximate;
  }

  std::string NameInLayer(const Match& match, int64_t layer) const {
    Match other = match;
    other.layer = layer;
    const io::TensorInfo* info = InSlot(other.Slot());
    if (!info)
      throw DataError("tensor is missing: " +
                      arch::Architecture::NameOf(match, layer, match.expert));
    return info->name;
  }

  static void Fill(TensorOp& op, double value, const char* policy) {
    op.kind = OpKind::kFill;
    op.offset = value;
    op.sources.clear();
    op.exactness = Exactness::kExact;
    op.policy = policy;
  }

  // Rows beyond the first copy come from the layer after: source units n.. stand for the second
  // source's.
  void TakeNewRowsFromNext(const Match& match, const LayerPlan* layer, TensorOp& op) const {
    if (!layer || (op.kind != OpKind::kMatrix && op.kind != OpKind::kVector)) return;
    const int64_t next = std::min(layer->source + 1, plan_.source.layers - 1);
    const std::string role = Role(match);
    const bool inner = role == "q" || role == "k" || role == "v" || role == "qkv" ||
                       role == "fc1" || role == "gate" || role == "up" || role == "gate_up";
    if (!inner || next == layer->source) return;
    const int64_t n = op.rows->source_size();
    std::vector<int64_t> entries = op.rows->entries();
    std::vector<bool> seen(n, false);
    for (int64_t& entry : entries) {
      if (entry == kPad) continue;
      if (seen[entry]) {
        entry += n;
      } else {
        seen[entry] = true;
      }
    }
    op.rows = std::make_shared<const AxisMap>(2 * n, std::move(entries));
    op.sources.push_back(NameInLayer(match, next));
    op.policy += ", new rows from the next layer";
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
    op.sources.push_back(NameInLayer(match, layer->source + 1));
    op.source_weights = {1 - layer->next_share, layer->next_share};
    op.policy += " and of two layers";
  }

  void MakeFresh(const Match& match, TensorOp& op) const {
    const Kind kind = match.rule->kind;
    if (op.kind == OpKind::kMatrix) {
      op.kind = OpKind::kNoise;
      op.sigma = initializer_;
      op.sources.clear();
      op.policy = "fresh";
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
  std::vector<std::pair<const io::TensorInfo*, Match>> matches_;
  std::map<std::string, const io::TensorInfo*> by_slot_;
  double share_ = 1, eta_ = 1, sigma_ = 0, pad_sigma_ = 0, initializer_ = 0.02;
  MixMaps mixes_;
  bool tied_ = false, untie_ = false, neutral_split_ = false;
};

}  // namespace

const char* Name(Method method) {
  for (const auto& entry : kMethodNames) {
    if (entry.value == method) return entry.name;
  }
  return "?";
}

int64_t Plan::parameters() const {
  int64_t sum = 0;
  for (const TensorOp& op : tensors) sum += op.elements();
  return sum;
}

int64_t Plan::bytes() const {
  int64_t sum = 0;
  for (const TensorOp& op : tensors) sum += op.elements() * io::ByteSize(op.dtype);
  return sum;
}

Plan MakePlan(const SourceModel& source, const TargetOptions& target,
              const MethodOptions& options) {
  return Builder(source, target, options).Build();
}

}  // namespace orchard::expand
