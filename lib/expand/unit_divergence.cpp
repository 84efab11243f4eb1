#include "expand/unit_divergence.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "expand/copy_divergence.h"
#include "nn/layer_weights.h"

namespace orchard::expand {
namespace {

// Rows (first copy, other copy) of every unit that was copied.
struct Pairs {
  std::vector<int64_t> first, other;
};

Pairs PairsOf(const AxisMap& map) {
  std::vector<int64_t> seen(map.source_size(), -1);
  Pairs pairs;
  for (int64_t t = 0; t < map.size(); ++t) {
    if (map[t] == kPad) continue;
    int64_t& first = seen[map[t]];
    if (first < 0) {
      first = t;
    } else {
      pairs.first.push_back(first);
      pairs.other.push_back(t);
    }
  }
  return pairs;
}

class Mean {
 public:
  void Add(const nn::Linear& linear, const AxisMap& map) {
    if (!linear.defined()) return;
    if (linear.weight.size(0) != map.size()) {
      throw DataError("a copy map of " + std::to_string(map.size()) + " units for a weight of " +
                          std::to_string(linear.weight.size(0)),
                      "lemon_expand.json", "it belongs to another model");
    }
    Add(linear.weight, map);
  }

  // weight [units, ...].
  void Add(const at::Tensor& weight, const AxisMap& map) {
    const Pairs pairs = PairsOf(map);
    if (pairs.first.empty()) return;
    const at::Tensor rows = weight.to(at::kCPU, at::kDouble).flatten(1).contiguous();
    std::vector<double> divergence(pairs.first.size());
    CopyDivergence({.type = FloatType::kF64,
                    .rows = rows.size(0),
                    .columns = rows.size(1),
                    .pairs = std::ssize(pairs.first),
                    .matrix = rows.const_data_ptr(),
                    .first = pairs.first.data(),
                    .other = pairs.other.data(),
                    .divergence = divergence.data()},
                   pool_);
    for (double d : divergence) sum_ += d;
    count_ += std::ssize(divergence);
  }

  std::optional<double> value() const {
    if (count_ == 0) return std::nullopt;
    return sum_ / static_cast<double>(count_);
  }

 private:
  ThreadPool pool_{DefaultThreads()};
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace

std::optional<double> UnitDivergence(const nn::Transformer& model, const AxisMaps& maps) {
  const c10::NoGradGuard no_grad;
  const nn::TransformerConfig& config = model.config();
  const AxisMap qkv = config.qkv == nn::QkvLayout::kPerHead
                          ? AxisMap::Blocks(*maps.query_heads, 3 * config.head_dim)
                          : AxisMap::Concatenate({*maps.query, *maps.key_value, *maps.key_value});
  const AxisMap gate_up = AxisMap::Concatenate({*maps.hidden, *maps.hidden});
  Mean mean;
  for (int64_t i = 0; i < config.layers; ++i) {
    const nn::LayerWeights w = nn::FindLayerWeights(config, model.parameters(), i, at::kDouble);
    mean.Add(w.q, *maps.query);
    mean.Add(w.k, *maps.key_value);
    mean.Add(w.v, *maps.key_value);
    mean.Add(w.qkv, qkv);
    for (const nn::Linear* first : {&w.fc1, &w.gate, &w.up}) mean.Add(*first, *maps.hidden);
    mean.Add(w.gate_up, gate_up);
    for (const nn::ExpertWeights& expert : w.experts) {
      mean.Add(expert.gate, *maps.hidden);
      mean.Add(expert.up, *maps.hidden);
    }
  }
  return mean.value();
}

std::optional<double> UnitDivergence(const nn::ResNet& model, const Plan& plan) {
  const c10::NoGradGuard no_grad;
  Mean mean;
  for (const TensorOp& op : plan.tensors) {
    if (op.kind == OpKind::kMatrix) mean.Add(model.parameters().Get(op.name), *op.rows);
  }
  return mean.value();
}

}  // namespace orchard::expand
