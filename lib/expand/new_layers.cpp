#include "expand/new_layers.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "expand/make_op.h"

namespace orchard::expand {

using arch::Kind;
using arch::Match;

bool WritesResidual(const std::string& role) {
  return role == "o" || role == "fc2" || role == "down" || role.ends_with(".down");
}

void NewLayers::Apply(const Match& match, int64_t target_layer, TensorOp& op) const {
  const std::string role = RoleOf(match);
  const LayerPlan& layer = plan_.layers[target_layer];
  op.new_layer = layer.neutral;
  if (a_.block == arch::Block::kPost && recipe_.depth == Recipe::Depth::kNeutral) {
    ApplyPostNorm(match, role, target_layer, op);
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
  if (cancel_ && !bias && a_.block == arch::Block::kPre) {
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
void NewLayers::ApplyPostNorm(const Match& match, const std::string& role, int64_t target_layer,
                              TensorOp& op) const {
  if (role != "attn_norm" && role != "mlp_norm") return;
  const LayerPlan& layer = plan_.layers[target_layer];
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
    op.sources = {tensors_.NameInLayer(match, plan_.layers[last].source)};
    op.policy = "neutral layer: norm of the layer before";
  }
  if (before_neutral || layer.neutral) op.exactness = Exactness::kApproximate;
}

void NewLayers::TakeNewRowsFromNext(const Match& match, const LayerPlan& layer,
                                    TensorOp& op) const {
  if (op.kind != OpKind::kMatrix && op.kind != OpKind::kVector) return;
  const int64_t next = std::min(layer.source + 1, plan_.source.layers - 1);
  const std::string role = RoleOf(match);
  const bool inner = role == "q" || role == "k" || role == "v" || role == "qkv" || role == "fc1" ||
                     role == "gate" || role == "up" || role == "gate_up";
  if (!inner || next == layer.source) return;
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
  op.sources.push_back(tensors_.NameInLayer(match, next));
  op.policy += ", new rows from the next layer";
}

}  // namespace orchard::expand
