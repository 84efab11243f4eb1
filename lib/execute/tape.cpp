#include "execute/tape.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "execute/step_body.h"

namespace orchard::execute {
namespace {

const void* Memory(const at::Tensor& tensor) {
  return tensor.has_storage() ? static_cast<const void*>(tensor.storage().unsafeGetStorageImpl())
                              : tensor.unsafeGetTensorImpl();
}

// Operators that make numbers from tensors, but from their shape and type alone.
bool ReadsShapeOnly(const std::string& kind) {
  static const std::unordered_set<std::string> kinds = {"aten::size",
                                                        "aten::sym_size",
                                                        "aten::dim",
                                                        "aten::numel",
                                                        "aten::len",
                                                        "aten::stride",
                                                        "aten::is_contiguous",
                                                        "aten::storage_offset",
                                                        "aten::is_floating_point",
                                                        "aten::is_complex",
                                                        "aten::is_same_size",
                                                        "aten::__is__",
                                                        "aten::__isnot__",
                                                        "prim::dtype",
                                                        "prim::device",
                                                        "prim::layout",
                                                        "prim::is_cuda",
                                                        "prim::is_cpu",
                                                        "prim::is_nested",
                                                        "prim::requires_grad",
                                                        "aten::requires_grad",
                                                        "aten::element_size",
                                                        "prim::type",
                                                        "prim::is_sparse",
                                                        "prim::is_quantized",
                                                        "aten::is_cpu",
                                                        "aten::is_cuda"};
  return kinds.contains(kind);
}

std::string Place(const std::string& path, const std::string& kind) {
  return path.empty() ? kind : kind + " in " + path;
}

}  // namespace

bool Tape::Dynamic(const at::Tensor& tensor) const {
  return tensor.defined() && dynamic_.contains(Memory(tensor));
}

void Tape::AddInput(const std::string& name, const at::Tensor& value) {
  input_names_.push_back(name);
  inputs_.push_back(value);
  example_inputs_.push_back(value.clone());  // the model may write its input
  dynamic_.insert(Memory(value));
}

void Tape::AddParameter(const std::string& name, const at::Tensor& value, bool trainable) {
  const auto [entry, added] =
      parameter_of_.emplace(value.unsafeGetTensorImpl(), static_cast<int32_t>(parameters_.size()));
  if (!added) return;
  parameters_.push_back({name, value, trainable});
  if (trainable) dynamic_.insert(Memory(value));
}

void Tape::KeepConstants(Event& event, const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined() || Dynamic(tensor) ||
        parameter_of_.contains(tensor.unsafeGetTensorImpl()))
      continue;
    const auto* impl = tensor.unsafeGetTensorImpl();
    at::Tensor& copy = constants_[{impl, static_cast<int64_t>(tensor._version())}];
    if (!copy.defined()) copy = tensor.clone();
    event.constants.emplace_back(impl, copy);
  }
}

void Tape::Run(const std::string& path, const std::string& kind, const c10::FunctionSchema& schema,
               bool random, torch::jit::Operation run, torch::jit::Stack& stack) {
  Event event{.path = path, .kind = kind, .run = run, .schema = &schema};
  const size_t count = schema.is_vararg() ? stack.size() : schema.arguments().size();
  event.arguments.assign(stack.end() - static_cast<int64_t>(count), stack.end());
  std::vector<at::Tensor> inputs;
  bool dynamic = false;
  for (const c10::IValue& argument : event.arguments) CollectTensors(argument, inputs);
  for (const at::Tensor& tensor : inputs) dynamic = dynamic || Dynamic(tensor);
  for (size_t k = 0; k < schema.arguments().size() && k < count; ++k) {
    // Dropout that is told not to train draws nothing.
    if (schema.arguments()[k].name() == "train" && event.arguments[k].isBool() &&
        !event.arguments[k].toBool())
      random = false;
    const c10::AliasInfo* alias = schema.arguments()[k].alias_info();
    if (alias == nullptr || !alias->isWrite() || !event.arguments[k].isTensor()) continue;
    if (event.written >= 0)
      throw ImpossibleError("the operator writes several of its arguments", Place(path, kind));
    event.written = static_cast<int>(k);
  }
  if (random && (dynamic || event.written >= 0)) {
    throw ImpossibleError("the operator draws random numbers", Place(path, kind),
                          "export the model for evaluation");
  }
  KeepConstants(event, inputs);
  if (event.written >= 0) {
    const at::Tensor written = event.arguments[event.written].toTensor();
    for (const Parameter& parameter : parameters_) {
      if (Memory(parameter.value) == Memory(written)) {
        throw ImpossibleError("the model writes its own state '" + parameter.name + "'",
                              Place(path, kind), "export the model for evaluation");
      }
    }
  }
  const size_t below = stack.size() - count;
  run(stack);
  for (size_t k = below; k < stack.size(); ++k) CollectTensors(stack[k], event.results);
  alive_.insert(alive_.end(), event.results.begin(), event.results.end());
  if (event.results.empty() && event.written < 0) {
    if (dynamic && !ReadsShapeOnly(kind)) {
      throw ImpossibleError(
          "the operator makes a number from the values of a tensor, so that a "
          "placed model would hold for one input alone",
          Place(path, kind));
    }
    return;
  }
  const bool makes = std::any_of(event.results.begin(), event.results.end(), [&](const auto& t) {
    return std::none_of(inputs.begin(), inputs.end(), [&](const auto& input) {
      return input.unsafeGetTensorImpl() == t.unsafeGetTensorImpl();
    });
  });
  if (!makes && event.written < 0) return;  // a list operator, or nothing to do
  if (dynamic) {
    for (const at::Tensor& result : event.results) {
      if (result.defined()) dynamic_.insert(Memory(result));
    }
    if (event.written >= 0) dynamic_.insert(Memory(event.arguments[event.written].toTensor()));
  }
  events_.push_back(std::move(event));
}

}  // namespace orchard::execute
