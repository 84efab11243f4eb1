#include "unit/execute/script_module.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include <map>

#include "execute/input_spec.h"
#include "execute/torchscript.h"

namespace orchard::execute {

std::filesystem::path WriteScript(const Script& script, const std::string& name) {
  const at::NoGradGuard no_grad;
  torch::jit::Module module("__torch__.Test");
  uint64_t seed = 1;
  for (const auto& [key, shape] : script.parameters) {
    InputSpec spec{.shape = shape};
    module.register_parameter(key, (MakeInput(spec, seed++, 0) * 0.3).requires_grad_(true), false);
  }
  for (const auto& [key, value] : script.buffers) module.register_buffer(key, value);
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(script.source);
  const std::filesystem::path path = testing::TempDir() + "/" + name + ".pt";
  module.save(path.string());
  return path;
}

Program ReadScript(const Script& script, const std::string& name) {
  std::vector<InputSpec> inputs;
  for (const std::string& text : script.inputs) inputs.push_back(ParseInputSpec(text));
  return ReadTorchScript(WriteScript(script, name), inputs, 7);
}

Layout RandomLayout(const Program& program, int32_t devices, const std::vector<int>& draw) {
  Layout layout;
  layout.order.resize(devices);
  // Operators that share any group, transitively, take the device of the first of them.
  std::vector<int32_t> root(program.size());
  for (int32_t i = 0; i < program.size(); ++i) root[i] = i;
  const auto find = [&](int32_t i) {
    while (root[i] != i) i = root[i];
    return i;
  };
  std::map<std::string, int32_t> first;
  for (int32_t i = 0; i < program.size(); ++i) {
    for (const std::string& group : program.operators[i].groups) {
      const int32_t other = find(first.emplace(group, i).first->second), own = find(i);
      root[std::max(other, own)] = std::min(other, own);
    }
  }
  for (int32_t i = 0; i < program.size(); ++i) {
    const auto k = static_cast<size_t>(find(i)) % draw.size();
    layout.device.push_back(std::abs(draw[k]) % devices);
    layout.order[layout.device.back()].push_back(i);
  }
  return layout;
}

std::vector<std::string> Names(const Program& program) {
  std::vector<std::string> names;
  for (const Operator& op : program.operators) names.push_back(op.name);
  return names;
}

}  // namespace orchard::execute
