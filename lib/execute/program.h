// A model as operators that can be placed: each runs alone, on the tensors that come in, on
// whichever device its owner is. Made by a reader (torchscript.h, exported_program.h); the executor
// and the profiler see nothing of where it came from.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace orchard::execute {

// What an operator computes.
class OperatorBody {
 public:
  virtual ~OperatorBody() = default;
  // Constants that name a device mean `device`. Inputs and parameters are there already. Safe to
  // call from several threads.
  virtual std::vector<at::Tensor> Run(std::span<const at::Tensor> inputs,
                                      std::span<const at::Tensor> parameters,
                                      c10::Device device) const = 0;
};

// Output `port` of operator `op`.
struct Value {
  int32_t op = 0, port = 0;
};

struct Operator {
  std::string name;                          // unique
  std::string kind;                          // "aten::linear"; "input" for an input of the model
  std::shared_ptr<const OperatorBody> body;  // none for an input
  std::vector<Value> inputs;                 // distinct, from earlier operators
  std::vector<int32_t> parameters;           // indices into Program::parameters
  std::vector<int64_t> output_bytes;         // of each port, as recorded
  double flops = 0;                     // of one execution, a multiplication and an addition as two
  std::vector<uint8_t> differentiable;  // per port: a floating-point tensor
  std::vector<int32_t> after;           // operators that must have run though nothing flows
  std::vector<std::string> groups;      // members of a group share a device
};

struct Parameter {
  std::string name;
  at::Tensor value;
  bool trainable = false;
};

// Operators in an order in which they can run; the inputs of the model come first.
struct Program {
  std::string name;
  std::vector<Operator> operators;
  std::vector<Parameter> parameters;
  std::vector<at::Tensor> example_inputs;  // of operators [0, inputs)
  std::vector<Value> outputs;              // the tensors that the model returns, in order
  // Why a training step cannot be run operator by operator; empty: it can.
  std::string no_training;

  int32_t size() const { return static_cast<int32_t>(operators.size()); }
  int32_t inputs() const { return static_cast<int32_t>(example_inputs.size()); }
};

}  // namespace orchard::execute
