// orchard-segment attention|composed|loss|norm IN.safetensors OUT.safetensors: operations of
// lib/segment, forward and backward, on tensors that a Python test has written.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <string>

#include "io/torch/tensors.h"
#include "segment/cosine_attention.h"
#include "segment/instance_norm.h"
#include "segment/segmentation_loss.h"

namespace {

using Tensors = std::map<std::string, at::Tensor>;
using namespace orchard;

void WithGradient(Tensors& in, std::initializer_list<const char*> names) {
  for (const char* name : names) in[name].requires_grad_();
}

Tensors Attention(Tensors& in, bool composed) {
  WithGradient(in, {"q", "k", "v", "tau", "beta", "prior"});
  const segment::TemplateTokens tokens{in["k"], in["v"], in["mu"]};
  const segment::AttentionResult r =
      composed
          ? segment::ComposedCosineAttention(in["q"], tokens, in["tau"], in["beta"], in["prior"])
          : segment::CosineAttention(in["q"], tokens, in["tau"], in["beta"], in["prior"]);
  ((r.context * in["d_context"]).sum() + (r.similarity * in["d_similarity"]).sum()).backward();
  Tensors out = {{"context", r.context}, {"similarity", r.similarity}, {"weight", r.weight}};
  for (const char* name : {"q", "k", "v", "tau", "beta", "prior"})
    out[std::string("d_") + name] = in[name].grad();
  return out;
}

Tensors Loss(Tensors& in) {
  if (in.contains("channels_last"))
    in["logits"] = in["logits"].contiguous(at::MemoryFormat::ChannelsLast3d);
  WithGradient(in, {"logits"});
  const double* const w = in["weights"].const_data_ptr<double>();
  const segment::LossParts parts =
      segment::SegmentationLoss(in["logits"], in["labels"], {w[0], w[1], w[2] > 0, w[3]});
  parts.total.backward();
  return {{"loss", parts.total}, {"d_logits", in["logits"].grad()}};
}

Tensors Norm(Tensors& in) {
  WithGradient(in, {"x", "weight", "bias"});
  const at::Tensor y = segment::InstanceNormLeakyRelu(in["x"], in["weight"], in["bias"]);
  (y * in["d_y"]).sum().backward();
  return {{"y", y},
          {"d_x", in["x"].grad()},
          {"d_weight", in["weight"].grad()},
          {"d_bias", in["bias"].grad()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string what = argv[1];
  Tensors in = io::ReadTensors(io::Checkpoint::Open(argv[2]));
  Tensors out;
  if (what == "loss") {
    out = Loss(in);
  } else if (what == "norm") {
    out = Norm(in);
  } else {
    out = Attention(in, what == "composed");
  }
  for (auto& [name, tensor] : out) tensor = tensor.detach();
  io::SaveTensors(argv[3], out);
  return 0;
}
