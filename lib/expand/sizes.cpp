#include "expand/sizes.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "expand/resnet_sizes.h"

namespace orchard::expand {
namespace {

std::string Text(int64_t n) { return std::to_string(n); }

}  // namespace

std::string NearestMultiples(int64_t wish, int64_t unit) {
  const int64_t below = std::max<int64_t>(1, wish / unit) * unit;
  return below == wish ? Text(wish) : Text(below) + " or " + Text(below + unit);
}

void CheckNotHuge(const char* what, int64_t target, int64_t most) {
  if (target > most) {
    throw ImpossibleError("--" + std::string(what) + " " + Text(target) + " is too large", "",
                          "at most " + Text(most) + " from this source");
  }
}

void CheckNotSmaller(const char* what, int64_t source, int64_t target) {
  if (target < source) {
    throw UsageError("--" + std::string(what) + " " + Text(target) +
                         " is smaller than the source's " + Text(source),
                     "", "expansion only grows");
  }
}

namespace {

void CheckDepthOnly(const Sizes& source, const Sizes& target) {
  if (target.hidden == source.hidden && target.heads == source.heads &&
      target.kv_heads == source.kv_heads && target.ffn == source.ffn) {
    return;
  }
  throw ImpossibleError("lesa adds layers and keeps every width", "--method lesa",
                        "grow the width first, with --method lemon, then the depth of the result");
}

}  // namespace

Recipe RecipeOf(const MethodOptions& options, const arch::Architecture& architecture) {
  Recipe r;
  r.split = options.split;
  r.untie = options.untie;
  switch (options.method) {
    case Method::kLemon:
    case Method::kLlamaPro:
      break;
    case Method::kNet2Net:
      r.width = Recipe::Width::kRandomCopies;
      r.split = Split::kEqual;
      r.correct_norms = false;
      r.lossless = architecture.is_resnet();
      break;
    case Method::kFpi:
      r.width = Recipe::Width::kCircular;
      r.depth = Recipe::Depth::kCopy;
      r.split = Split::kEqual;
      r.correct_norms = r.lossless = false;
      break;
    case Method::kAki:
      r.width = Recipe::Width::kCircular;
      r.depth = Recipe::Depth::kCopy;
      r.split = Split::kEqual;
      r.new_rows_from_next = true;
      r.correct_norms = r.lossless = false;
      break;
    case Method::kStackBert:
    case Method::kInterpolate:
    case Method::kSolar:
    case Method::kSlices:
      r.depth = Recipe::Depth::kCopy;
      r.width = Recipe::Width::kCircular;
      r.split = Split::kEqual;
      r.correct_norms = r.lossless = false;
      break;
    case Method::kHyperCloning:
      r.split = options.hypercloning_snr > 0 ? Split::kPairs : Split::kEqual;
      r.untie = true;
      break;
    case Method::kZeroPad:
      // Zeros beside the residual stream are what RMSNorm's padding is; they move LayerNorm's mean.
      r.width = Recipe::Width::kIdentityPad;
      // Batch norms keep channels apart.
      r.lossless = architecture.norm != arch::Norm::kLayer;
      break;
    case Method::kLesa:  // what its new layers hold is predicted after the plan (lesa.h)
      r.depth = Recipe::Depth::kCopy;
      r.correct_norms = r.lossless = false;
      break;
    case Method::kLigoInit:
      r.depth = Recipe::Depth::kCopy;
      r.mix = true;
      r.correct_norms = r.lossless = false;
      break;
    case Method::kRandom:
      r.fresh = true;
      r.correct_norms = r.lossless = false;
      break;
  }
  return r;
}

Sizes ResolveSizes(const arch::Architecture& a, const Sizes& source, const TargetOptions& target,
                   const MethodOptions& options) {
  if (a.is_resnet()) return ResolveResNetSizes(*source.resnet, target);
  if (target.width_per_group || target.channels || !target.depths.empty()) {
    throw UsageError("--width-per-group, --channels and --depths are sizes of ResNets", "",
                     a.model_type + " grows by --hidden, --heads, --ffn and --layers");
  }
  CheckNotHuge("hidden", target.hidden.value_or(0), kMaxCopies * source.hidden);
  CheckNotHuge("heads", target.heads.value_or(0), kMaxCopies * source.heads);
  CheckNotHuge("kv-heads", target.kv_heads.value_or(0), kMaxCopies * source.kv_heads);
  CheckNotHuge("ffn", target.ffn.value_or(0), kMaxCopies * source.ffn);
  CheckNotHuge("layers", target.layers.value_or(0), std::max<int64_t>(10000, source.layers));
  Sizes t = source;
  t.hidden = target.hidden.value_or(source.hidden);
  t.layers = target.layers.value_or(source.layers);
  t.ffn = target.ffn.value_or(source.ffn);
  if (target.heads) {
    t.heads = *target.heads;
  } else if (a.head_dim_is_hidden_over_heads) {
    if (t.hidden % source.head_dim != 0) {
      throw ImpossibleError(
          a.model_type + " has hidden = heads x head_dim, and " + Text(t.hidden) +
              " is not a multiple of head_dim " + Text(source.head_dim),
          "", "nearest legal --hidden: " + NearestMultiples(t.hidden, source.head_dim));
    }
    t.heads = t.hidden / source.head_dim;
  }
  if (target.heads && a.head_dim_is_hidden_over_heads && !target.hidden)
    t.hidden = t.heads * source.head_dim;
  const bool grouped = source.kv_heads != source.heads;
  t.kv_heads = target.kv_heads.value_or(grouped ? source.kv_heads : t.heads);
  CheckNotSmaller("hidden", source.hidden, t.hidden);
  CheckNotSmaller("heads", source.heads, t.heads);
  CheckNotSmaller("kv-heads", source.kv_heads, t.kv_heads);
  CheckNotSmaller("ffn", source.ffn, t.ffn);
  CheckNotSmaller("layers", source.layers, t.layers);
  if (a.keys.kv_heads.empty() && t.kv_heads != t.heads) {
    throw ImpossibleError(a.model_type + " has as many key-value heads as heads",
                          "--kv-heads " + Text(t.kv_heads));
  }
  if (a.head_dim_is_hidden_over_heads && t.hidden != t.heads * source.head_dim) {
    throw ImpossibleError(
        a.model_type + " has hidden = heads x head_dim, and " + Text(t.heads) + " x " +
            Text(source.head_dim) + " is not " + Text(t.hidden),
        "",
        "legal: --heads " + Text(std::max(source.heads, t.hidden / source.head_dim)) +
            " --hidden " +
            Text(std::max(source.heads, t.hidden / source.head_dim) * source.head_dim));
  }
  if (a.hidden_divisible_by_heads && t.hidden % t.heads != 0 && !options.allow_odd_heads) {
    const int64_t above = (t.hidden + t.heads - 1) / t.heads * t.heads;
    throw ImpossibleError(
        "transformers loads " + a.model_type + " only where heads divide hidden, and " +
            Text(t.heads) + " does not divide " + Text(t.hidden),
        "", "nearest legal --hidden: " + Text(above) + "; --allow-odd-heads writes it anyway");
  }
  return t;
}

void CheckSizesPresent(const SourceModel& source) {
  const arch::ConfigKeys& keys = source.architecture.keys;
  const Sizes& s = source.sizes;
  int64_t longest = 0;
  for (const io::TensorInfo& info : source.weights.tensors()) {
    for (int64_t extent : info.shape) longest = std::max(longest, extent);
  }
  const int64_t count = static_cast<int64_t>(source.weights.tensors().size());
  const auto check = [&](const std::string& key, int64_t size, int64_t most) {
    if (size <= most) return;
    throw DataError("'" + key + "' gives " + Text(size) + ", more than the weights hold",
                    (source.directory / "config.json").string());
  };
  check(keys.layers, s.layers, count);
  check(keys.hidden, s.hidden, longest);
  check(keys.ffn.empty() ? keys.ffn_ratio : keys.ffn, s.ffn, longest);
  check(keys.heads, s.heads, longest);
  check(keys.head_dim.empty() ? keys.heads : keys.head_dim, s.heads * s.head_dim, longest);
}

void CheckReachable(const SourceModel& source, const Sizes& target, const Recipe& recipe,
                    const MethodOptions& options) {
  const arch::Architecture& a = source.architecture;
  if (target.layers > source.sizes.layers) {
    if (!a.no_depth.empty()) {
      throw ImpossibleError(a.model_type + " cannot grow in depth: " + a.no_depth,
                            "--layers " + Text(target.layers));
    }
    arch::CheckRefusals(a, a.refuse_depth, source.config, "--layers " + Text(target.layers));
  }
  if (options.method == Method::kLesa) CheckDepthOnly(source.sizes, target);
  if (!recipe.lossless || options.allow_lossy) return;
  const bool multiple = target.hidden % source.sizes.hidden == 0;
  const bool layer_norm = a.norm == arch::Norm::kLayer;
  const bool conflict =
      a.block == arch::Block::kPost || (a.block == arch::Block::kSandwich && layer_norm);
  if ((conflict || options.method == Method::kHyperCloning) && !multiple) {
    throw ImpossibleError(
        (conflict ? a.model_type + " normalises after the residual sum, so its width grows without "
                                   "loss only to multiples of "
                  : "hypercloning grows widths only to multiples of ") +
            Text(source.sizes.hidden) + ", not to " + Text(target.hidden),
        "",
        "nearest legal --hidden: " + NearestMultiples(target.hidden, source.sizes.hidden) +
            (conflict ? "; --allow-lossy goes on" : ""));
  }
  if (options.method == Method::kHyperCloning &&
      (target.heads % source.sizes.heads != 0 || target.ffn % source.sizes.ffn != 0)) {
    throw ImpossibleError("hypercloning grows heads and hidden units only to multiples",
                          "--heads " + Text(target.heads) + " --ffn " + Text(target.ffn));
  }
}

AxisMaps MakeMaps(const Sizes& source, const Sizes& target, const Recipe& recipe, uint64_t seed) {
  const HeadMaps heads = MakeHeadMaps(source.heads, source.kv_heads, target.heads, target.kv_heads);
  const auto make = [](AxisMap map) { return std::make_shared<const AxisMap>(std::move(map)); };
  const auto grow = [&](int64_t from, int64_t to, bool residual) {
    switch (recipe.width) {
      case Recipe::Width::kRandomCopies:
        return make(AxisMap::RandomCopies(from, to, seed));
      case Recipe::Width::kIdentityPad:
        return make(AxisMap::IdentityThenPad(from, to));
      case Recipe::Width::kBlocks:
        return make(residual ? AxisMap::Padded(from, to) : AxisMap::Circular(from, to));
      default:
        return make(AxisMap::Circular(from, to));
    }
  };
  AxisMaps maps;
  maps.residual = grow(source.hidden, target.hidden, true);
  maps.transform = make(AxisMap::Circular(source.hidden, target.hidden));
  maps.hidden = grow(source.ffn, target.ffn, false);
  const bool pad_heads = recipe.width == Recipe::Width::kIdentityPad &&
                         source.heads == source.kv_heads && target.heads == target.kv_heads;
  maps.query_heads =
      make(pad_heads ? AxisMap::IdentityThenPad(source.heads, target.heads) : heads.query);
  maps.kv_heads = make(pad_heads ? AxisMap::IdentityThenPad(source.kv_heads, target.kv_heads)
                                 : heads.key_value);
  maps.query = make(AxisMap::Blocks(*maps.query_heads, source.head_dim));
  maps.key_value = make(AxisMap::Blocks(*maps.kv_heads, source.head_dim));
  return maps;
}

MixMaps MakeMixMaps(const Sizes& source, const Sizes& target, uint64_t seed) {
  const auto make = [](MixMap map) { return std::make_shared<const MixMap>(std::move(map)); };
  MixMaps maps;
  maps.residual = make(MixMap::Convex(source.hidden, target.hidden, seed));
  maps.transform = maps.residual;
  maps.hidden = make(MixMap::Convex(source.ffn, target.ffn, seed + 1));
  maps.query_heads = make(MixMap::Convex(source.heads, target.heads, seed + 2));
  maps.kv_heads = source.heads == source.kv_heads && target.heads == target.kv_heads
                      ? maps.query_heads
                      : make(MixMap::Convex(source.kv_heads, target.kv_heads, seed + 3));
  maps.query = make(MixMap::Blocks(*maps.query_heads, source.head_dim));
  maps.key_value = make(MixMap::Blocks(*maps.kv_heads, source.head_dim));
  return maps;
}

double ResidualShare(const AxisMaps& maps) {
  const AxisMap& residual = *maps.residual;
  return static_cast<double>(residual.size() - residual.pads()) /
         static_cast<double>(residual.size());
}

int64_t ResidualCopies(const AxisMaps& maps) {
  return maps.residual->copies().empty() ? 1 : maps.residual->copies()[0];
}

}  // namespace orchard::expand
