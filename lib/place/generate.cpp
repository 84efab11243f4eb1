#include "place/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

class Generator {
 public:
  Generator(const GenerateOptions& options, uint64_t seed)
      : options_(options),
        key_(PhiloxKey(seed, Hash64("baechi-place gen"))),
        builder_(kShapeNames[static_cast<int>(options.shape)].name) {
    builder_.graph.name = fmt::format(
        "{} of {} operators", kShapeNames[static_cast<int>(options.shape)].name, options.ops);
  }

  Graph Run() {
    const auto n = static_cast<int32_t>(options_.ops), width = static_cast<int32_t>(options_.width);
    for (int32_t i = 0; i < n; ++i) AddOp(i);
    for (int32_t i = 1; i < n; ++i) {
      switch (options_.shape) {
        case Shape::kChain:
          Connect(i - 1, i);
          break;
        case Shape::kForkJoin: {
          const int32_t block = width + 1, place = i % block;
          const int32_t fork = i - (place == 0 ? block : place);
          if (place != 0) {
            Connect(fork, i);
          } else {
            for (int32_t k = 1; k <= width; ++k) Connect(fork + k, i);
          }
          break;
        }
        case Shape::kLayered:
          if (i >= width) ConnectLayer(i, width);
          break;
        default:
          break;
      }
    }
    return builder_.Build();
  }

 private:
  void AddOp(int32_t i) {
    const Philox4 r = PhiloxAt(key_, static_cast<uint64_t>(i));
    const auto drawn = [](uint32_t word, int64_t mean) {
      return static_cast<int64_t>(UniformFloat(word) * 2 * static_cast<double>(mean));
    };
    const double us = std::round(UniformFloat(r.word[0]) * 2 * options_.us * 1000) / 1000;
    builder_.AddOp({.name = fmt::format("op{}", i),
                    .us = us,
                    .perm = drawn(r.word[1], options_.perm),
                    .out = {drawn(r.word[2], options_.bytes)}},
                   "");
  }

  void Connect(int32_t src, int32_t dst) {
    builder_.AddUse(src, dst, fmt::format("op{}:0", src),
                    static_cast<double>(builder_.graph.ops[src].out[0]), -1, "");
  }

  // Distinct operators of the layer before.
  void ConnectLayer(int32_t i, int32_t width) {
    const int32_t first = (i / width - 1) * width;
    std::vector<int32_t> inputs;
    const auto degree = std::min<int64_t>(options_.degree, width);
    for (uint64_t draw = 0; static_cast<int64_t>(inputs.size()) < degree; ++draw) {
      const uint32_t word = PhiloxAt(key_, static_cast<uint64_t>(i), 1 + draw).word[0];
      const auto input = first + static_cast<int32_t>(static_cast<uint64_t>(word) * width >> 32);
      if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) inputs.push_back(input);
    }
    for (int32_t input : inputs) Connect(input, i);
  }

  const GenerateOptions& options_;
  Philox2 key_;
  GraphBuilder builder_;
};

// A size that a model does not have is a mistake of the user, not to be passed over.
void CheckSizes(Shape shape, const ModelOptions& options) {
  const bool inception = shape == Shape::kInceptionV3, moe = shape == Shape::kMixtureOfExperts;
  const bool attends = moe || shape == Shape::kTransformerBase;
  const auto check = [&](const char* flag, const std::optional<int64_t>& size, bool known) {
    if (size && !known) {
      throw UsageError(
          fmt::format("{} has no such size", kShapeNames[static_cast<int>(shape)].name), flag);
    }
  };
  check("--length", options.length, !inception);
  check("--image", options.image, inception);
  check("--classes", options.classes, inception);
  check("--vocabulary", options.vocabulary, !inception);
  check("--layers", options.layers, !inception);
  check("--hidden", options.hidden, !inception);
  check("--ffn", options.ffn, attends);
  check("--heads", options.heads, attends);
  check("--experts", options.experts, moe);
  check("--top-k", options.top_k, moe);
}

}  // namespace

Graph Generate(const GenerateOptions& options, uint64_t seed) {
  const ModelOptions& model = options.model;
  switch (options.shape) {
    case Shape::kChain:
    case Shape::kForkJoin:
    case Shape::kLayered:
      break;
    case Shape::kInceptionV3:
      CheckSizes(options.shape, model);
      return InceptionV3(model).graph;
    case Shape::kGnmt:
      CheckSizes(options.shape, model);
      return Gnmt(model).graph;
    case Shape::kTransformerBase:
      CheckSizes(options.shape, model);
      return TransformerBase(model).graph;
    case Shape::kMixtureOfExperts:
      CheckSizes(options.shape, model);
      return MixtureOfExperts(model).graph;
    case Shape::kTwoTower:
      CheckSizes(options.shape, model);
      return TwoTower(model).graph;
  }
  return Generator(options, seed).Run();
}

}  // namespace orchard::place
