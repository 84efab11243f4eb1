#include "execute/torchscript.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "execute/input_file.h"
#include "execute/step_body.h"
#include "execute/tape.h"
#include "io/printable.h"

namespace orchard::execute {
namespace {

namespace jit = torch::jit;
using c10::IValue;

std::string FirstLine(const std::string& text) {
  std::string line;
  for (size_t begin = 0; begin < text.size() && line.empty();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    line = text.substr(begin, end - begin);
    begin = end + 1;
  }
  return io::Printable(line, 200);
}

// Executes graphs node by node: operators through a tape, everything else itself.
class Interpreter {
 public:
  explicit Interpreter(Tape& tape) : tape_(tape) {}

  void NameModules(const jit::Module& module, const std::string& path) {
    paths_.emplace(module._ivalue().get(), path);
    for (const jit::NameModule& child : module.named_children())
      NameModules(child.value, path.empty() ? child.name : path + "." + child.name);
  }

  std::vector<IValue> RunGraph(const jit::Graph& graph, std::vector<IValue> arguments,
                               const std::string& path) {
    if (++depth_ > kMaxDepth) throw ImpossibleError("calls nest too deep", path);
    Values values;
    for (size_t k = 0; k < arguments.size(); ++k)
      values[graph.inputs()[k]] = std::move(arguments[k]);
    RunBlock(*graph.block(), values, path);
    std::vector<IValue> results;
    for (const jit::Value* output : graph.outputs()) results.push_back(values.at(output));
    --depth_;
    return results;
  }

 private:
  using Values = std::map<const jit::Value*, IValue>;
  static constexpr int kMaxDepth = 500;

  void RunBlock(const jit::Block& block, Values& values, const std::string& path) {
    for (const jit::Node* node : block.nodes()) RunNode(*node, values, path);
  }

  void RunNode(const jit::Node& node, Values& values, const std::string& path) {
    const auto kind = node.kind();
    if (kind == c10::prim::Constant) {
      values[node.output()] = jit::toIValue(node.output()).value_or(IValue());
    } else if (kind == c10::prim::GetAttr) {
      values[node.output()] = Attribute(values.at(node.input()), node.s(c10::attr::name));
    } else if (kind == c10::prim::SetAttr) {
      throw ImpossibleError("the model changes its own attribute '" + node.s(c10::attr::name) + "'",
                            path, "export the model for evaluation");
    } else if (kind == c10::prim::If) {
      RunIf(node, values, path);
    } else if (kind == c10::prim::Loop) {
      RunLoop(node, values, path);
    } else if (kind == c10::prim::CallMethod) {
      CallMethod(node, values, path);
    } else if (kind == c10::prim::CallFunction) {
      CallFunction(node, values, path);
    } else {
      RunOperator(node, values, path);
    }
  }

  IValue Attribute(const IValue& owner, const std::string& name) {
    const auto object = owner.toObject();
    IValue value = object->getAttr(name);
    const auto path = paths_.find(object.get());
    const std::string prefix =
        path == paths_.end() || path->second.empty() ? "" : path->second + ".";
    if (value.isTensor() && value.toTensor().defined()) {
      const at::Tensor& tensor = value.toTensor();
      tape_.AddParameter(prefix + name, tensor, tensor.requires_grad());
    }
    return value;
  }

  void RunIf(const jit::Node& node, Values& values, const std::string& path) {
    const jit::Block& block = *node.blocks()[values.at(node.input()).toBool() ? 0 : 1];
    RunBlock(block, values, path);
    for (size_t k = 0; k < node.outputs().size(); ++k)
      values[node.outputs()[k]] = values.at(block.outputs()[k]);
  }

  void RunLoop(const jit::Node& node, Values& values, const std::string& path) {
    const int64_t most = values.at(node.inputs()[0]).toInt();
    bool more = values.at(node.inputs()[1]).toBool();
    std::vector<IValue> carried;
    for (size_t k = 2; k < node.inputs().size(); ++k)
      carried.push_back(values.at(node.inputs()[k]));
    const jit::Block& block = *node.blocks()[0];
    for (int64_t i = 0; i < most && more; ++i) {
      values[block.inputs()[0]] = i;
      for (size_t k = 0; k < carried.size(); ++k) values[block.inputs()[k + 1]] = carried[k];
      RunBlock(block, values, path);
      more = values.at(block.outputs()[0]).toBool();
      for (size_t k = 0; k < carried.size(); ++k) carried[k] = values.at(block.outputs()[k + 1]);
    }
    for (size_t k = 0; k < carried.size(); ++k) values[node.outputs()[k]] = carried[k];
  }

  std::vector<IValue> Inputs(const jit::Node& node, const Values& values, size_t from = 0) {
    std::vector<IValue> arguments;
    for (size_t k = from; k < node.inputs().size(); ++k)
      arguments.push_back(values.at(node.inputs()[k]));
    return arguments;
  }

  void Call(jit::Function& function, std::vector<IValue> arguments, const jit::Node& node,
            Values& values, const std::string& path) {
    const std::vector<IValue> results =
        RunGraph(*jit::toGraphFunction(function).graph(), std::move(arguments), path);
    for (size_t k = 0; k < node.outputs().size(); ++k) values[node.outputs()[k]] = results.at(k);
  }

  void CallMethod(const jit::Node& node, Values& values, const std::string& path) {
    std::vector<IValue> arguments = Inputs(node, values);
    if (!arguments[0].isObject())
      throw ImpossibleError("the model calls a method of something that is no module", path);
    const auto object = arguments[0].toObject();
    jit::Function& method = object->type()->getMethod(node.s(c10::attr::name));
    const auto known = paths_.find(object.get());
    const std::string inside = known == paths_.end() ? path : known->second;
    Call(method, std::move(arguments), node, values, inside);
  }

  void CallFunction(const jit::Node& node, Values& values, const std::string& path) {
    const auto type = node.inputs()[0]->type()->expect<c10::FunctionType>();
    Call(*type->function(), Inputs(node, values, 1), node, values, path);
  }

  void RunOperator(const jit::Node& node, Values& values, const std::string& path) {
    const std::string kind = node.kind().toQualString();
    jit::Stack stack = Inputs(node, values);
    try {
      if (!Construct(node, stack)) {
        const c10::FunctionSchema* schema = node.maybeSchema();
        if (schema == nullptr)
          throw ImpossibleError("the model uses an operator that cannot be placed", kind);
        tape_.Run(path, kind, *schema, node.isNondeterministic(), node.getOperation(), stack);
      }
    } catch (const Error&) {
      throw;
    } catch (const c10::Error& error) {
      throw DataError("the model fails: " + FirstLine(error.what_without_backtrace()),
                      path.empty() ? kind : path + "." + kind);
    } catch (const std::exception& error) {
      throw DataError("the model fails: " + FirstLine(error.what()),
                      path.empty() ? kind : path + "." + kind);
    }
    for (size_t k = 0; k < node.outputs().size(); ++k) values[node.outputs()[k]] = stack.at(k);
  }

  // Lists, tuples and the like, which are no operators. The stack holds the node's inputs.
  static bool Construct(const jit::Node& node, jit::Stack& stack) {
    const auto kind = node.kind();
    if (kind == c10::prim::ListConstruct) {
      c10::impl::GenericList list(node.output()->type()->expect<c10::ListType>()->getElementType());
      for (const IValue& part : stack) list.push_back(part);
      stack = {list};
    } else if (kind == c10::prim::DictConstruct) {
      const auto type = node.output()->type()->expect<c10::DictType>();
      c10::impl::GenericDict dictionary(type->getKeyType(), type->getValueType());
      for (size_t k = 0; k + 1 < stack.size(); k += 2)
        dictionary.insert_or_assign(stack[k], stack[k + 1]);
      stack = {dictionary};
    } else if (kind == c10::prim::TupleConstruct) {
      stack = {c10::ivalue::Tuple::create(stack)};
    } else if (kind == c10::prim::TupleUnpack) {
      stack = stack[0].toTupleRef().elements().vec();
    } else if (kind == c10::prim::ListUnpack) {
      stack = stack[0].toListRef().vec();
      TORCH_CHECK(stack.size() == node.outputs().size(), "a list has another length than expected");
    } else if (kind == c10::prim::TupleSlice) {
      const auto parts = stack[0].toTupleRef().elements().vec();
      stack = {c10::ivalue::Tuple::create(std::vector<IValue>(
          parts.begin() + node.i(c10::attr::beg), parts.begin() + node.i(c10::attr::end)))};
    } else if (kind == c10::prim::isinstance) {
      const auto type = stack[0].type();
      const auto& types = node.tys(c10::attr::types);
      stack = {std::any_of(types.begin(), types.end(),
                           [&](const auto& wanted) { return type->isSubtypeOf(*wanted); })};
    } else if (kind == c10::prim::Uninitialized) {
      stack.emplace_back();
    } else {
      return kind == c10::prim::unchecked_cast;
    }
    return true;
  }

  Tape& tape_;
  std::map<const void*, std::string> paths_;  // of module objects
  int depth_ = 0;
};

jit::Module Load(const std::filesystem::path& path, jit::ExtraFilesMap& extra) {
  if (!std::filesystem::exists(path)) throw DataError("no such file", path.string());
  try {
    jit::Module module = jit::load(path.string(), c10::Device(c10::kCPU), extra);
    module.eval();
    return module;
  } catch (const c10::Error& error) {
    throw DataError("not a TorchScript file: " + FirstLine(error.what_without_backtrace()),
                    path.string());
  } catch (const std::exception& error) {
    throw DataError("not a TorchScript file: " + FirstLine(error.what()), path.string());
  }
}

std::string CleanName(const std::string& debug_name) {
  const std::string name = debug_name.substr(0, debug_name.find('.'));
  const bool number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  return name.empty() || number ? "input" + name : name;
}

}  // namespace

Program ReadTorchScript(const std::filesystem::path& path, const std::vector<InputSpec>& given,
                        uint64_t seed) {
  const at::NoGradGuard no_grad;
  jit::ExtraFilesMap extra{{kInputFile, ""}};
  const jit::Module module = Load(path, extra);
  const std::vector<InputSpec> inputs = given.empty() ? ParseInputFile(extra[kInputFile]) : given;
  const jit::Function& forward = module.get_method("forward").function();
  const auto& graph = *jit::toGraphFunction(forward).graph();
  const auto& arguments = forward.getSchema().arguments();
  const size_t takes = arguments.size() - 1;
  size_t needs = 0;
  for (size_t k = 1; k < arguments.size(); ++k) needs += arguments[k].default_value() ? 0 : 1;
  if (inputs.size() < needs || inputs.size() > takes) {
    throw UsageError(
        fmt::format("the model takes {} inputs, and {} are given", takes, inputs.size()),
        path.string(), "--input 8x3x224x224 for each");
  }
  Tape tape;
  Interpreter interpreter(tape);
  interpreter.NameModules(module, "");
  std::vector<IValue> values = {module._ivalue()};
  for (size_t k = 0; k < inputs.size(); ++k) {
    const at::Tensor value = MakeInput(inputs[k], seed, static_cast<int64_t>(k));
    tape.AddInput(CleanName(graph.inputs()[k + 1]->debugName()), value);
    values.emplace_back(value);
  }
  for (size_t k = inputs.size() + 1; k < arguments.size(); ++k)
    values.push_back(*arguments[k].default_value());
  std::vector<at::Tensor> outputs;
  for (const IValue& result : interpreter.RunGraph(graph, std::move(values), ""))
    CollectTensors(result, outputs);
  if (outputs.empty()) throw DataError("the model returns no tensor", path.string());
  return tape.Assemble(path.stem().string(), outputs);
}

at::Tensor Seed(const at::Tensor& output) {
  const at::NoGradGuard no_grad;
  if (output.numel() == 1) return at::ones_like(output);
  return output.detach() / static_cast<double>(output.numel());
}

namespace {

Reference RunWhole(const std::filesystem::path& path, const Program& program, bool train,
                   at::Device device) {
  jit::ExtraFilesMap extra;
  jit::Module module = Load(path, extra);
  module.to(device);
  std::vector<IValue> inputs;
  for (const at::Tensor& input : program.example_inputs)
    inputs.emplace_back(input.to(device, false, true));
  const at::AutoGradMode mode(train);
  Reference reference;
  CollectTensors(module.forward(std::move(inputs)), reference.outputs);
  if (!train) {
    for (at::Tensor& output : reference.outputs) output = output.cpu();
    return reference;
  }
  std::map<std::string, at::Tensor> by_name;
  for (const auto& parameter : module.named_parameters()) by_name[parameter.name] = parameter.value;
  std::vector<at::Tensor> roots, seeds, leaves;
  for (const at::Tensor& output : reference.outputs) {
    if (!output.requires_grad()) continue;
    roots.push_back(output);
    seeds.push_back(Seed(output));
  }
  for (const Parameter& parameter : program.parameters) {
    if (parameter.trainable) leaves.push_back(by_name.at(parameter.name));
  }
  reference.gradients = torch::autograd::grad(roots, leaves, seeds, std::nullopt, false, true);
  for (at::Tensor& output : reference.outputs) output = output.detach().cpu();
  for (at::Tensor& gradient : reference.gradients) {
    if (gradient.defined()) gradient = gradient.cpu();
  }
  return reference;
}

}  // namespace

Reference RunTorchScript(const std::filesystem::path& path, const Program& program, bool train,
                         c10::Device device) {
  if (!device.is_cpu()) {
    try {
      return RunWhole(path, program, train, device);
    } catch (const c10::Error&) {
      // It may name the CPU itself, or be too large for one device.
    }
  }
  try {
    return RunWhole(path, program, train, c10::Device(c10::kCPU));
  } catch (const c10::Error& error) {
    throw DataError("the model as one fails: " + FirstLine(error.what_without_backtrace()),
                    path.string());
  }
}

}  // namespace orchard::execute
