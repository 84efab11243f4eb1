#include "segment/script_model.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/version.h"
#include "segment/attention_script.h"
#include "segment/template_choice.h"
#include "segment/token_cache.h"

namespace orchard::segment {
namespace {

namespace jit = torch::jit;
using Json = nlohmann::ordered_json;
using volume::Size3;

// Sizes i, j, k in the order of tensors, as TorchScript writes a list.
std::string Kji(const Size3& size) {
  return fmt::format("[{}, {}, {}]", size[2], size[1], size[0]);
}

bool Fits(const Size3& size, const Size3& patch) {
  return size[0] <= patch[0] && size[1] <= patch[1] && size[2] <= patch[2];
}

// Makes the modules of a network: every layer with its weights and a `forward` of its own.
class ScriptWriter {
 public:
  // `classes` are what the head tells apart besides the background.
  ScriptWriter(const TemplateNetwork& network, int64_t classes)
      : network_(network), plan_(network.plan()), options_(network.options()), classes_(classes) {}

  // `tokens` of each fused level.
  jit::Module Model(const std::vector<TemplateTokens>& tokens) const;

 private:
  bool classic() const { return options_.blocks == Blocks::kClassic; }
  // A weight of the network becomes a parameter, or with `is_buffer` a buffer.
  void Copy(jit::Module& module, const std::string& name, const std::string& weight,
            bool is_buffer = false) const {
    const at::Tensor value = network_.parameters().Get(weight).detach().cpu().clone();
    module.register_parameter(name, value, is_buffer);
  }
  jit::Module Norm(const std::string& name) const;
  jit::Module Block(const std::string& name, const Size3& kernel, const Size3& stride) const;
  jit::Module EncoderStage(size_t s) const;
  jit::Module DecoderStage(size_t s) const;
  jit::Module Fusion(size_t at, const TemplateTokens& tokens) const;
  jit::Module Head() const;
  std::string InputCheck() const;

  const TemplateNetwork& network_;
  const Plan& plan_;
  const NetworkOptions& options_;
  int64_t classes_;
};

jit::Module ScriptWriter::Norm(const std::string& name) const {
  jit::Module norm("Norm");
  Copy(norm, "weight", name + ".weight");
  Copy(norm, "bias", name + ".bias");
  if (classic()) {
    Copy(norm, "mean", name + ".mean", true);
    Copy(norm, "variance", name + ".variance", true);
    norm.define(R"(
def forward(self, x: Tensor) -> Tensor:
    y = torch.batch_norm(x, self.weight, self.bias, self.mean, self.variance, False, 0.1, 1e-5, False)
    return torch.relu(y)
)");
  } else {
    norm.define(R"(
def forward(self, x: Tensor) -> Tensor:
    y = torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, 1e-5, False)
    return torch.leaky_relu(y, 0.01)
)");
  }
  return norm;
}

jit::Module ScriptWriter::Block(const std::string& name, const Size3& kernel,
                                const Size3& stride) const {
  jit::Module block("Block");
  Copy(block, "weight", name + ".conv.weight");
  Copy(block, "bias", name + ".conv.bias");
  block.register_module("norm", Norm(name + ".norm"));
  const bool pools = classic() && volume::Voxels(stride) > 1;
  block.define(fmt::format(
      R"(
def forward(self, x: Tensor) -> Tensor:
    y = torch.conv3d({}, self.weight, self.bias, {}, {})
    return self.norm.forward(y)
)",
      pools ? fmt::format("torch.max_pool3d(x, {})", Kji(stride)) : "x",
      Kji(pools ? Size3{1, 1, 1} : stride), Kji({kernel[0] / 2, kernel[1] / 2, kernel[2] / 2})));
  return block;
}

jit::Module ScriptWriter::EncoderStage(size_t s) const {
  const Stage& stage = plan_.stages[s];
  const std::string name = fmt::format("image.stages.{}.", s);
  jit::Module module("EncoderStage");
  module.register_module("block0", Block(name + "0", stage.kernel, stage.stride));
  module.register_module("block1", Block(name + "1", stage.kernel, {1, 1, 1}));
  module.define(R"(
def forward(self, x: Tensor) -> Tensor:
    return self.block1.forward(self.block0.forward(x))
)");
  return module;
}

jit::Module ScriptWriter::DecoderStage(size_t s) const {
  const std::string name = fmt::format("decoder.{}.", s);
  jit::Module module("DecoderStage");
  std::string up = "torch.upsample_trilinear3d(x, same.size()[2:], False)";
  if (!classic()) {
    Copy(module, "up_weight", name + "up.weight");
    Copy(module, "up_bias", name + "up.bias");
    up = fmt::format("torch.conv_transpose3d(x, self.up_weight, self.up_bias, {})",
                     Kji(plan_.stages[s + 1].stride));
  }
  module.register_module("block0", Block(name + "0", plan_.stages[s].kernel, {1, 1, 1}));
  module.register_module("block1", Block(name + "1", plan_.stages[s].kernel, {1, 1, 1}));
  module.define(fmt::format(R"(
def forward(self, x: Tensor, same: Tensor) -> Tensor:
    y = torch.cat([{}, same], 1)
    return self.block1.forward(self.block0.forward(y))
)",
                            up));
  return module;
}

jit::Module ScriptWriter::Fusion(size_t at, const TemplateTokens& tokens) const {
  const int64_t level = network_.levels()[at];
  const std::string name = fmt::format("fuse.{}.", level);
  const bool attends = options_.attention != AttentionKind::kNone;
  jit::Module module("Fusion");
  module.register_buffer("template_keys", tokens.k.cpu().clone());
  module.register_buffer("template_values", tokens.v.cpu().clone());
  module.register_buffer("template_areas", tokens.mu.cpu().clone());
  if (attends) {
    Copy(module, "q_weight", name + "q.weight");
    Copy(module, "q_bias", name + "q.bias");
    module.register_buffer("tau", at::full({1}, network_.tau(at)));
    Copy(module, "beta", name + "beta", true);
  }
  if (options_.attention == AttentionKind::kWindow) {
    const Size3 cells = plan_.StageSize(static_cast<size_t>(level));
    module.register_attribute("template_cells", c10::ListType::ofInts(),
                              c10::List<int64_t>({cells[2], cells[1], cells[0]}));
    module.register_attribute("reach", c10::IntType::get(), options_.window);
  }
  module.define(AttentionScript(options_.attention));
  Copy(module, "project_weight", name + "project.weight");
  Copy(module, "project_bias", name + "project.bias");
  // Joint: one similarity a class. Else the largest of the classes' and the background's.
  const bool joint = !attends || options_.mode == TemplateMode::kJoint;
  std::string met =
      joint ? "context, similarity[:, :, 1:]"
            : "context, torch.amax(similarity[:, :, 1:], [2], True), similarity[:, :, :1]";
  std::string sum = "f + self.gamma * y", result = "y";
  if (options_.fuse == Fusion::kResidual) {
    Copy(module, "gamma", name + "gamma");
  } else {
    module.register_module("norm", Norm(name + "norm"));
    met = "f, " + met;
    sum = "y";
    result = "self.norm.forward(y)";
  }
  module.define(fmt::format(R"(
def forward(self, map: Tensor) -> Tensor:
    f = map.flatten(2).transpose(1, 2)
    context, similarity = self.attend(f, map.size()[2:])
    y = torch.linear(torch.cat([{}], 2), self.project_weight, self.project_bias)
    y = ({}).transpose(1, 2).reshape(map.size())
    return {}
)",
                            met, sum, result));
  return module;
}

jit::Module ScriptWriter::Head() const {
  jit::Module head("Head");
  Copy(head, "weight", "decoder.0.head.weight");
  Copy(head, "bias", "decoder.0.head.bias");
  // In context [B K, 1, ...] become [B, K + 1, ...]: each class against the rest.
  const std::string result = fmt::format(
      "torch.cat([torch.zeros_like(y[::{0}]), y.reshape([-1, {0}] + y.size()[2:])], 1)", classes_);
  head.define(fmt::format(R"(
def forward(self, x: Tensor) -> Tensor:
    y = torch.conv3d(x, self.weight.view(self.weight.size() + [1, 1, 1]), self.bias)
    return {}
)",
                          network_.in_context() ? result : "y"));
  return head;
}

std::string ScriptWriter::InputCheck() const {
  Size3 multiple = plan_.patch;  // side by side there is one size only
  const bool fixed = options_.attention == AttentionKind::kNone;
  if (!fixed) {
    multiple = {1, 1, 1};
    for (const Stage& stage : plan_.stages)
      for (size_t a = 0; a < 3; ++a) multiple[a] *= stage.stride[a];
  }
  std::string check = fmt::format(R"(
    assert image.dim() == 5 and image.size(1) == {0}, "image is not [B, {0}, K, J, I]")",
                                  plan_.channels.size());
  for (size_t a = 0; a < 3; ++a) {
    const std::string side = fmt::format("image.size({})", 4 - a);
    check += fmt::format(R"(
    assert {} == {}, "{}: sides are {}{}")",
                         fixed ? side : fmt::format("{} % {}", side, multiple[a]),
                         fixed ? multiple[a] : 0, "KJI"[2 - a], fixed ? "" : "multiples of ",
                         multiple[a]);
  }
  return check;
}

jit::Module ScriptWriter::Model(const std::vector<TemplateTokens>& tokens) const {
  jit::Module model("TemplateNetwork");
  const size_t stages = plan_.stages.size();
  std::string body = InputCheck() + "\n    x = image";
  for (size_t s = 0; s < stages; ++s) {
    model.register_module(fmt::format("encoder{}", s), EncoderStage(s));
    body += fmt::format("\n    x = self.encoder{0}.forward(x)\n    f{0} = x", s);
  }
  if (network_.in_context()) {
    for (size_t s = 0; s < stages; ++s)
      body += fmt::format("\n    f{0} = f{0}.repeat_interleave({1}, 0)", s, classes_);
  }
  for (size_t at = 0; at < tokens.size(); ++at) {
    const int64_t level = network_.levels()[at];
    model.register_module(fmt::format("fuse{}", level), Fusion(at, tokens[at]));
    body += fmt::format("\n    f{0} = self.fuse{0}.forward(f{0})", level);
  }
  body += fmt::format("\n    x = f{}", stages - 1);
  for (size_t s = stages - 1; s-- > 0;) {
    model.register_module(fmt::format("decoder{}", s), DecoderStage(s));
    body += fmt::format("\n    x = self.decoder{0}.forward(x, f{0})", s);
  }
  model.register_module("head", Head());
  model.define("\ndef forward(self, image: Tensor) -> Tensor:" + body +
               "\n    return self.head.forward(x)\n");
  return model;
}

// The labels that the logits after the background's stand for.
std::vector<int64_t> Classes(const TemplateNetwork& network, const TemplateBank& bank,
                             std::span<const size_t> templates) {
  std::vector<int64_t> classes;
  for (int64_t label = 1; label <= network.plan().classes(); ++label) {
    const auto has = [&](size_t n) { return bank.Has(n, label); };
    if (!network.in_context() || std::any_of(templates.begin(), templates.end(), has))
      classes.push_back(label);
  }
  return classes;
}

// Of all templates together, of each fused level.
std::vector<TemplateTokens> Encode(const TemplateNetwork& network, const TemplateBank& bank,
                                   std::span<const size_t> templates,
                                   const std::vector<int64_t>& classes, ThreadPool& pool) {
  TokenCache cache(network, bank, 0, {}, pool);
  std::vector<std::vector<TemplateTokens>> tokens;
  const Size3& patch = network.plan().patch;
  for (const size_t n : templates) {
    TemplateCrop crop{.bank_case = n, .start = TemplateCrop::kWhole};
    if (network.in_context()) crop.classes = classes;
    const Size3& size = bank.cases[n].image.size;
    for (size_t a = 0; a < 3 && Fits(size, patch); ++a)
      crop.start[a] = ClampStart(0, size[a], patch[a]);
    tokens.push_back(*cache.Get(crop));
  }
  return Concatenate(tokens);
}

// What a stranger needs to prepare an image and to read the logits.
Json Description(const TemplateNetwork& network, const TemplateBank& bank,
                 std::span<const size_t> templates, const std::vector<int64_t>& classes) {
  const Plan& plan = network.plan();
  Json labels = Json::array({"background"}), places = Json::array();
  for (const int64_t c : classes) labels.push_back(plan.labels[static_cast<size_t>(c - 1)].name);
  for (const size_t n : templates) {
    const PreparedCase& c = bank.cases[n];
    places.push_back(
        {{"id", c.id}, {"place", Fits(c.image.size, plan.patch) ? "centred" : "stretched"}});
  }
  return {{"format", "orchard-segmentation-script"},
          {"version", 1},
          {"orchard", BuildVersions().orchard},
          {"axes", "[B, channel, superior, anterior, right]"},
          {"patch", {plan.patch[2], plan.patch[1], plan.patch[0]}},
          {"spacing", {plan.spacing[2], plan.spacing[1], plan.spacing[0]}},
          {"labels", labels},
          {"templates", places},
          {"plan", ToJson(plan)},
          {"network", ToJson(network.options())}};
}

}  // namespace

void WriteScriptModel(const std::filesystem::path& file, const TemplateNetwork& network,
                      const TemplateBank& bank, std::span<const size_t> templates,
                      ThreadPool& pool) {
  if (network.uses_template() && templates.empty())
    throw UsageError("the network needs a template and there is none", "--templates");
  const c10::NoGradGuard no_gradient;
  const std::vector<int64_t> classes = Classes(network, bank, templates);
  if (classes.empty()) throw UsageError("the templates have no label", "--templates");
  std::vector<TemplateTokens> tokens;
  if (network.uses_template()) tokens = Encode(network, bank, templates, classes, pool);
  const jit::Module model = ScriptWriter(network, std::ssize(classes)).Model(tokens);
  std::ostringstream bytes;
  model.save(bytes, {{"orchard.json", Description(network, bank, templates, classes).dump(2)}});
  WriteFileAtomically(file, bytes.view());
}

}  // namespace orchard::segment
