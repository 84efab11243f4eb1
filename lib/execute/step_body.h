// Bodies of operators made of calls to LibTorch's operators. Internal to the readers.
#pragma once

#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <vector>

#include "execute/program.h"

namespace orchard::execute {

// An argument of a call: a constant, a tensor of the body, a list or tuple that holds some, or the
// device that the operator is on.
struct Argument {
  enum class Kind { kConstant, kSlot, kList, kTuple, kDevice };
  Kind kind = Kind::kConstant;
  c10::IValue constant;
  int32_t slot = -1;
  c10::TypePtr element_type;  // of a list
  std::vector<Argument> parts;
};

struct Call {
  mutable torch::jit::Operation run;  // its call operator is not const, but keeps nothing
  std::vector<Argument> arguments;
  bool clones_first = false;  // its first argument is copied first, since it is written
};

// Slots: the inputs, then the parameters, then the tensors that each call gives.
class StepBody : public OperatorBody {
 public:
  std::vector<Call> calls;
  std::vector<int32_t> outputs;  // slots

  std::vector<at::Tensor> Run(std::span<const at::Tensor> inputs,
                              std::span<const at::Tensor> parameters,
                              c10::Device device) const override;
};

// All tensors in a value, depth first: of lists, tuples and dictionaries. None counts for nothing.
void CollectTensors(const c10::IValue& value, std::vector<at::Tensor>& tensors);

}  // namespace orchard::execute
