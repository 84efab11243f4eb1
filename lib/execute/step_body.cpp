#include "execute/step_body.h"

#include <ATen/ATen.h>

namespace orchard::execute {
namespace {

c10::IValue Build(const Argument& argument, const std::vector<at::Tensor>& slots,
                  c10::Device device) {
  switch (argument.kind) {
    case Argument::Kind::kConstant:
      return argument.constant;
    case Argument::Kind::kSlot:
      return slots[argument.slot];
    case Argument::Kind::kDevice:
      return device;
    case Argument::Kind::kList: {
      c10::impl::GenericList list(argument.element_type);
      list.reserve(argument.parts.size());
      for (const Argument& part : argument.parts) list.push_back(Build(part, slots, device));
      return list;
    }
    case Argument::Kind::kTuple:
      break;
  }
  std::vector<c10::IValue> parts;
  for (const Argument& part : argument.parts) parts.push_back(Build(part, slots, device));
  return c10::ivalue::Tuple::create(std::move(parts));
}

}  // namespace

void CollectTensors(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
  } else if (value.isList()) {
    for (const c10::IValue& part : value.toListRef()) CollectTensors(part, tensors);
  } else if (value.isTuple()) {
    for (const c10::IValue& part : value.toTupleRef().elements()) CollectTensors(part, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) CollectTensors(entry.value(), tensors);
  }
}

std::vector<at::Tensor> StepBody::Run(std::span<const at::Tensor> inputs,
                                      std::span<const at::Tensor> parameters,
                                      c10::Device device) const {
  std::vector<at::Tensor> slots(inputs.begin(), inputs.end());
  slots.insert(slots.end(), parameters.begin(), parameters.end());
  torch::jit::Stack stack;
  for (const Call& call : calls) {
    stack.clear();
    for (const Argument& argument : call.arguments) stack.push_back(Build(argument, slots, device));
    if (call.clones_first) stack.front() = stack.front().toTensor().clone();
    call.run(stack);
    for (const c10::IValue& value : stack) CollectTensors(value, slots);
  }
  std::vector<at::Tensor> result;
  result.reserve(outputs.size());
  for (int32_t slot : outputs) result.push_back(slots[slot]);
  return result;
}

}  // namespace orchard::execute
