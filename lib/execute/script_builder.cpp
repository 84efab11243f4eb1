#include "execute/script_builder.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>

#include <cmath>
#include <sstream>

#include "base/atomic_file.h"
#include "execute/input_file.h"

namespace orchard::execute {

namespace jit = torch::jit;

struct ScriptBuilder::State {
  explicit State(uint64_t seed)
      : generator(at::detail::createCPUGenerator(seed + 1)), root("__torch__.Model") {}

  std::string Line(const std::string& expression) {
    std::string result = fmt::format("t{}", lines++);
    body += fmt::format("  {} = {}\n", result, expression);
    return result;
  }

  std::string Apply(const jit::Module& layer, const std::string& name, const std::string& x) {
    root.register_module(name, layer);
    return Line(fmt::format("self.{}.forward({})", name, x));
  }

  void AddConstant(jit::Module& module, const std::string& name, const at::Tensor& value,
                   bool trainable) {
    if (trainable) {
      module.register_parameter(name, value.requires_grad_(true), /*is_buffer=*/false);
      parameters += value.numel();
    } else {
      module.register_buffer(name, value);
    }
  }

  // Uniform with variance gain / fan_in: 1 keeps the size of what passes through, 2 before a ReLU.
  void AddParameter(jit::Module& module, const std::string& name, std::vector<int64_t> shape,
                    int64_t fan_in, double gain = 1) {
    const double bound = std::sqrt(3 * gain / static_cast<double>(fan_in));
    AddConstant(module, name, at::empty(shape, at::kFloat).uniform_(-bound, bound, generator),
                true);
  }

  at::Generator generator;
  jit::Module root;
  std::string body;
  int lines = 0;
  int64_t parameters = 0;
};

ScriptBuilder::ScriptBuilder(uint64_t seed) : state_(std::make_unique<State>(seed)) {}
ScriptBuilder::~ScriptBuilder() = default;

std::string ScriptBuilder::Linear(const std::string& name, const std::string& x, int64_t in,
                                  int64_t out, bool bias) {
  jit::Module layer("__torch__.Linear");
  state_->AddParameter(layer, "weight", {out, in}, in);
  if (bias) state_->AddParameter(layer, "bias", {out}, in);
  layer.define(fmt::format("def forward(self, x):\n  return torch.linear(x, self.weight{})\n",
                           bias ? ", self.bias" : ""));
  return state_->Apply(layer, name, x);
}

std::string ScriptBuilder::ConvNormRelu(const std::string& name, const std::string& x, int64_t in,
                                        int64_t out, int64_t height, int64_t width, int64_t stride,
                                        int64_t pad_height, int64_t pad_width) {
  jit::Module layer("__torch__.ConvNormRelu");
  state_->AddParameter(layer, "weight", {out, in, height, width}, in * height * width, 2);
  state_->AddConstant(layer, "scale", at::ones({out}), true);
  state_->AddConstant(layer, "shift", at::zeros({out}), true);
  state_->AddConstant(layer, "mean", at::zeros({out}), false);
  state_->AddConstant(layer, "variance", at::ones({out}), false);
  layer.define(fmt::format(
      "def forward(self, x):\n"
      "  y = torch.conv2d(x, self.weight, None, [{0}, {0}], [{1}, {2}])\n"
      "  y = torch.batch_norm(y, self.scale, self.shift, self.mean, self.variance, False, 0.1, "
      "0.001, True)\n"
      "  return torch.relu(y)\n",
      stride, pad_height, pad_width));
  return state_->Apply(layer, name, x);
}

std::string ScriptBuilder::Norm(const std::string& name, const std::string& x, int64_t width) {
  jit::Module layer("__torch__.LayerNorm");
  state_->AddConstant(layer, "weight", at::ones({width}), true);
  state_->AddConstant(layer, "bias", at::zeros({width}), true);
  layer.define(
      fmt::format("def forward(self, x):\n  return torch.layer_norm(x, [{}], "
                  "self.weight, self.bias, 1e-05, True)\n",
                  width));
  return state_->Apply(layer, name, x);
}

std::string ScriptBuilder::Embedding(const std::string& name, const std::string& ids, int64_t rows,
                                     int64_t width) {
  jit::Module layer("__torch__.Embedding");
  state_->AddParameter(layer, "weight", {rows, width}, width);
  layer.define("def forward(self, ids):\n  return torch.embedding(self.weight, ids)\n");
  return state_->Apply(layer, name, ids);
}

void ScriptBuilder::AddLayer(const std::string& name, const std::string& arguments,
                             const std::string& code, const std::vector<Shape>& shapes) {
  jit::Module layer("__torch__." + name);
  for (const Shape& shape : shapes)
    state_->AddParameter(layer, shape.name, shape.dims, shape.fan_in);
  layer.define(fmt::format("def forward(self, {}):\n{}", arguments, code));
  state_->root.register_module(name, layer);
}

void ScriptBuilder::AddBuffer(const std::string& name, const at::Tensor& value) {
  state_->AddConstant(state_->root, name, value, false);
}

ModelFacts ScriptBuilder::Save(const std::filesystem::path& path,
                               const std::vector<std::string>& arguments,
                               const std::string& returned, const std::vector<InputSpec>& inputs) {
  state_->root.define(fmt::format("def forward(self, {}):\n{}  return {}\n",
                                  fmt::join(arguments, ", "), state_->body, returned));
  state_->root.eval();
  std::string shapes;
  for (const InputSpec& input : inputs) shapes += ToText(input) + "\n";
  std::ostringstream text;
  state_->root.save(text, {{kInputFile, shapes}});
  WriteFileAtomically(path, text.str());
  return {state_->parameters};
}

std::string ScriptBuilder::Line(const std::string& expression) { return state_->Line(expression); }

}  // namespace orchard::execute
