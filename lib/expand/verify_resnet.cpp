#include "expand/verify_resnet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "arch/resnet.h"
#include "base/error.h"
#include "expand/deviation.h"
#include "expand/provenance.h"
#include "nn/network.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using arch::Json;

constexpr int64_t kDefaultSide = 64;  // pixels, where the configuration names no size: any will do

// A network and how far its activations have come.
struct Run {
  explicit Run(const fs::path& path, at::ScalarType compute)
      : network(nn::LoadNetwork(path, compute, compute, &config)), resnet(network.resnet()) {
    if (resnet == nullptr) throw UsageError("not a residual network", path.string());
  }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const nn::Parameter& p : resnet->parameters().all()) {
      sum += static_cast<int64_t>(p.value.nbytes());
    }
    return sum;
  }
  int64_t blocks() const { return resnet->shape().Depth(); }
  void Advance() { x = resnet->Block(next++, x); }

  Json config;
  nn::Network network;
  const nn::ResNet* resnet;
  at::Tensor x;
  int64_t next = 0;  // block
};

int64_t SideOf(const Json& config) {
  const Json size = config.contains("image_size") ? config["image_size"] : Json();
  if (size.is_number_integer()) return std::clamp<int64_t>(size.get<int64_t>(), 1, 4096);
  return kDefaultSide;
}

std::string NameOf(const arch::ResNetShape& shape, int64_t index) {
  const auto [stage, block] = arch::ResNetBlockAt(shape, index);
  std::string name = arch::ResNetBlockPrefix(stage, block);
  name.pop_back();
  return name;
}

}  // namespace

VerifyResult VerifyResNet(const fs::path& source_path, const fs::path& target_path,
                          const VerifyOptions& options, uint64_t seed,
                          const std::function<void(int64_t, int64_t)>& on_layer) {
  const at::ScalarType compute = ToScalarType(options.compute);
  Run source(source_path, compute), target(target_path, compute);
  const arch::ResNetShape& to = target.resnet->shape();
  const ResNetProvenance provenance = ReadResNetProvenance(target_path, source.resnet->shape(), to);
  const int64_t side = SideOf(source.config);
  const at::Tensor images =
      VerifyImages(options, source.resnet->shape().image_channels, side, side, seed);

  VerifyResult result;
  result.exactness = provenance.exactness;
  result.tolerance = options.tolerance.value_or(
      AutomaticTolerance(provenance.exactness, provenance.epsilon, options.compute, to.Depth(),
                         io::Checkpoint::Open(target_path)));
  const auto compare = [&](const std::string& place, const std::string& axis) {
    if (!provenance.known) return;
    result.layers.push_back(CompareStream(place, source.x, target.x, provenance.maps.at(axis), 1,
                                          PaddingPromise::kZero));
    result.layers.back().layers = target.next;
  };
  source.x = source.resnet->Stem(images);
  target.x = target.resnet->Stem(images);
  compare("stem", "S");
  while (target.next < target.blocks()) {
    const int64_t block = target.next;
    target.Advance();
    if (provenance.known && !provenance.layers[block].neutral) source.Advance();
    compare(NameOf(to, block), "C" + std::to_string(arch::ResNetBlockAt(to, block).stage + 1));
    if (on_layer) on_layer(target.next, target.blocks());
  }
  while (source.next < source.blocks()) source.Advance();
  const at::Tensor expected = source.resnet->Head(source.x), given = target.resnet->Head(target.x);
  if (expected.size(1) != given.size(1)) {
    throw UsageError("the networks have " + std::to_string(expected.size(1)) + " and " +
                         std::to_string(given.size(1)) + " classes",
                     target_path.string());
  }
  result.outputs.push_back(CompareOutput("class logits", expected, given));
  CompareLogits(expected, given, result);
  Conclude(result);
  result.source_bytes = source.bytes();
  result.target_bytes = target.bytes();
  return result;
}

}  // namespace orchard::expand
