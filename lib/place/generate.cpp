#include "place/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/philox.h"

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

}  // namespace

Graph Generate(const GenerateOptions& options, uint64_t seed) {
  return Generator(options, seed).Run();
}

}  // namespace orchard::place
