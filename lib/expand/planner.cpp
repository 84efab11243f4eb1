#include "expand/planner.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "base/number_format.h"
#include "expand/axis_map.h"
#include "expand/sizes.h"

namespace orchard::expand {
namespace {

int64_t Extent(const std::string& axis, const Sizes& s, int64_t stored) {
  if (const size_t plus = axis.find('+'); plus != std::string::npos) {
    return Extent(axis.substr(0, plus), s, 0) + Extent(axis.substr(plus + 1), s, 0);
  }
  if (axis == "R" || axis == "T") return s.hidden;
  if (axis == "H") return s.heads * s.head_dim;
  if (axis == "H*3") return 3 * s.heads * s.head_dim;
  if (axis == "G") return s.kv_heads * s.head_dim;
  if (axis == "F") return s.ffn;
  return stored;
}

int64_t RoundTo(double value, int64_t unit) {
  return std::max<int64_t>(1, std::llround(value / static_cast<double>(unit))) * unit;
}

// Head pairs near the source's share of the width, legal for the architecture.
std::vector<std::pair<int64_t, int64_t>> HeadChoices(const SourceModel& source, int64_t hidden) {
  const Sizes& s = source.sizes;
  const arch::Architecture& a = source.architecture;
  const int64_t group = s.heads / s.kv_heads;
  const double wish =
      static_cast<double>(s.heads) * static_cast<double>(hidden) / static_cast<double>(s.hidden);
  std::set<std::pair<int64_t, int64_t>> choices;
  const auto consider = [&](int64_t heads, int64_t kv_heads) {
    if (!HeadMapsExist(s.heads, s.kv_heads, heads, kv_heads)) return;
    if (a.head_dim_is_hidden_over_heads && heads * s.head_dim != hidden) return;
    if (a.hidden_divisible_by_heads && hidden % heads != 0) return;
    choices.insert({heads, kv_heads});
  };
  for (int64_t kv = std::max<int64_t>(s.kv_heads, static_cast<int64_t>(wish) / group - 1);
       kv <= static_cast<int64_t>(wish) / group + 1; ++kv) {
    consider(kv * group, kv);
  }
  const int64_t heads = std::llround(wish);
  if (heads % s.kv_heads == 0 && group > 1) consider(heads, s.kv_heads);
  return {choices.begin(), choices.end()};
}

struct Rank {
  double distance;
  bool padded, odd_copies;
  int64_t new_layers;
  bool operator<(const Rank& o) const {
    return std::tie(distance, padded, odd_copies, new_layers) <
           std::tie(o.distance, o.padded, o.odd_copies, o.new_layers);
  }
};

}  // namespace

SizeModel::SizeModel(const SourceModel& source) : source_(source) {
  std::map<const arch::TensorRule*, size_t> known;
  for (const io::TensorInfo& info : source.weights.tensors()) {
    const auto match = source.architecture.Find(info.name);
    if (!match || match->rule->kind == arch::Kind::kDrop) continue;
    const auto [it, fresh] = known.emplace(match->rule, terms_.size());
    if (!fresh) {
      terms_[it->second].count += 1;
      continue;
    }
    Term term;
    term.axes = match->rule->axes;
    term.extents = info.shape;
    term.per_layer = match->layer >= 0;
    term.embedding = match->rule->kind == arch::Kind::kEmbedding;
    term.element_bytes = io::ByteSize(info.dtype);
    terms_.push_back(term);
  }
  for (Term& term : terms_) {
    if (term.per_layer) term.count /= static_cast<double>(source.sizes.layers);
  }
}

Candidate SizeModel::Describe(const Sizes& sizes, int64_t context) const {
  Candidate c;
  c.sizes = sizes;
  double parameters = 0, bytes = 0, computing = 0;
  for (const Term& term : terms_) {
    double elements = term.count * (term.per_layer ? static_cast<double>(sizes.layers) : 1.0);
    for (size_t i = 0; i < term.extents.size(); ++i) {
      const std::string axis = i < term.axes.size() ? term.axes[i] : "";
      elements *= static_cast<double>(Extent(axis, sizes, term.extents[i]));
    }
    parameters += elements;
    bytes += elements * static_cast<double>(term.element_bytes);
    if (!term.embedding) computing += elements;
  }
  c.parameters = std::llround(parameters);
  c.bytes = std::llround(bytes);
  c.flops_per_token =
      6 * computing + 12.0 * static_cast<double>(sizes.layers * sizes.hidden * context);
  const int64_t copies = sizes.hidden / source_.sizes.hidden;
  c.whole_copies = sizes.hidden % source_.sizes.hidden == 0;
  c.power_of_two = c.whole_copies && (copies & (copies - 1)) == 0;
  const bool post_depth =
      source_.architecture.block == arch::Block::kPost && sizes.layers > source_.sizes.layers;
  c.exactness = post_depth                                              ? Exactness::kApproximate
                : c.power_of_two                                        ? Exactness::kExact
                : source_.architecture.fixed_epsilon && !c.whole_copies ? Exactness::kApproximate
                : source_.architecture.norm == arch::Norm::kLayer && !c.whole_copies
                    ? Exactness::kRounded
                    : Exactness::kNormRounded;
  return c;
}

std::vector<Candidate> PlanSizes(const SourceModel& source, const MethodOptions& method,
                                 const PlannerOptions& options) {
  const Sizes& s = source.sizes;
  const arch::Architecture& a = source.architecture;
  const SizeModel model(source);
  const int64_t now = model.Describe(s, options.context).parameters;
  if (options.target_parameters < now) {
    throw UsageError("--target-params " +
                     FormatCount(static_cast<double>(options.target_parameters)) +
                     " is less than the " + FormatCount(static_cast<double>(now)) +
                     " parameters that there are");
  }
  const bool multiples = a.block == arch::Block::kPost && !method.allow_lossy;
  const int64_t step = multiples            ? s.hidden
                       : s.hidden % 64 == 0 ? std::max<int64_t>(64, s.head_dim)
                                            : s.head_dim;
  const int64_t ffn_unit = s.ffn % 256 == 0 ? 256 : s.ffn % 64 == 0 ? 64 : 1;
  const int64_t deepest = a.no_depth.empty() ? 2 * s.layers : s.layers;
  std::vector<std::pair<Rank, Candidate>> ranked;
  for (int64_t hidden = s.hidden; hidden <= 4 * s.hidden; hidden += step) {
    const double growth = static_cast<double>(hidden) / static_cast<double>(s.hidden);
    const int64_t ffn = std::max(s.ffn, RoundTo(static_cast<double>(s.ffn) * growth, ffn_unit));
    for (const auto& [heads, kv_heads] : HeadChoices(source, hidden)) {
      for (int64_t layers = s.layers; layers <= deepest; ++layers) {
        const Candidate c =
            model.Describe({hidden, layers, heads, kv_heads, s.head_dim, ffn}, options.context);
        const double wish = static_cast<double>(options.target_parameters);
        const double away = std::abs(static_cast<double>(c.parameters) - wish) / wish;
        ranked.push_back(
            {{std::floor(100 * away), !c.whole_copies, !c.power_of_two, layers - s.layers}, c});
      }
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<Candidate> best;
  for (const auto& [rank, candidate] : ranked) {
    if (static_cast<int64_t>(best.size()) == options.best) break;
    best.push_back(candidate);
  }
  return best;
}

}  // namespace orchard::expand
