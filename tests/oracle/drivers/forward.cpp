// orchard-forward DIR INPUTS OUTPUTS [f64|f32|bf16|resnet|resnet-train]: runs a model on the
// tensors of a safetensors file (tokens, attention_mask, types, images) and writes what it returns,
// beside the residual stream before and after every layer, for comparison with peers. The stream is
// computed twice: in one call, and layer by layer with the tensors of one layer in memory.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>
#include <map>
#include <string>

#include "base/error.h"
#include "io/safetensors.h"
#include "io/torch/tensors.h"
#include "nn/model_directory.h"
#include "nn/resnet.h"

namespace {

using orchard::nn::Batch;
using orchard::nn::ModelDirectory;
using orchard::nn::ModelOutput;
using orchard::nn::Transformer;
using Tensors = std::map<std::string, at::Tensor>;

void AddOutput(const std::string& prefix, const ModelOutput& output, Tensors& tensors) {
  for (const auto& [name, value] : {std::pair{"hidden", output.hidden},
                                    {"token_logits", output.token_logits},
                                    {"class_logits", output.class_logits},
                                    {"pooled", output.pooled}}) {
    if (value.defined()) tensors[prefix + name] = value;
  }
}

// The model in pieces, each loaded alone.
ModelOutput RunLayerwise(const ModelDirectory& directory, const Batch& batch,
                         at::ScalarType dtype) {
  const auto part = [&](int64_t layer) {
    return Transformer(directory.config(),
                       directory.Load({.dtype = dtype, .layer = layer, .requires_grad = false}),
                       dtype);
  };
  const Transformer ends = part(-1);
  const auto sequence = ends.Prepare(batch);
  at::Tensor x = ends.Embed(batch);
  for (int64_t i = 0; i < directory.config().layers; ++i) x = part(i).Layer(i, x, sequence);
  return ends.Head(x, sequence);
}

void Run(const std::string& directory, const std::string& inputs, const std::string& outputs,
         at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  Tensors in = orchard::io::ReadTensors(orchard::io::Checkpoint::Open(inputs));
  const Batch batch{.tokens = in["tokens"],
                    .attention_mask = in["attention_mask"],
                    .types = in["types"],
                    .images = in["images"]};
  const ModelDirectory model = ModelDirectory::Open(directory);
  Tensors out;
  const auto observe = [&](int64_t index, const at::Tensor& x) {
    out["stream." + std::to_string(index)] = x;
  };
  AddOutput("", model.LoadTransformer(dtype).Forward(batch, nullptr, observe), out);
  AddOutput("layerwise.", RunLayerwise(model, batch, dtype), out);
  orchard::io::SaveTensors(outputs, out, {}, false);
}

void RunResNet(const std::string& directory, const std::string& inputs, const std::string& outputs,
               bool training) {
  const at::NoGradGuard no_grad;
  const auto checkpoint = orchard::io::Checkpoint::Open(directory);
  const auto network = orchard::nn::LoadResNet(checkpoint, at::kDouble);
  Tensors out;
  out["class_logits"] = network.Forward(
      orchard::io::ReadTensors(orchard::io::Checkpoint::Open(inputs)).at("images"), training);
  if (training) {
    for (const auto& parameter : network.parameters().all()) out[parameter.name] = parameter.value;
  }
  orchard::io::SaveTensors(outputs, out, {}, false);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, at::ScalarType> dtypes = {
      {"f64", at::kDouble}, {"f32", at::kFloat}, {"bf16", at::kBFloat16}};
  const std::string dtype = argc > 4 ? argv[4] : "f64";
  const bool resnet = dtype.starts_with("resnet");
  if (argc < 4 || (!resnet && !dtypes.contains(dtype))) {
    std::fprintf(stderr,
                 "usage: orchard-forward DIR INPUTS OUTPUTS [f64|f32|bf16|resnet|resnet-train]\n");
    return 2;
  }
  try {
    if (resnet) {
      RunResNet(argv[1], argv[2], argv[3], dtype == "resnet-train");
    } else {
      Run(argv[1], argv[2], argv[3], dtypes.at(dtype));
    }
  } catch (const orchard::Error& error) {
    std::fprintf(stderr, "orchard-forward: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
