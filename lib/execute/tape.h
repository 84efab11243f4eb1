// What a model does on example inputs: every call of an operator of LibTorch that makes or writes a
// tensor, in order. Readers execute the model through a tape, and the tape becomes a Program.
// Control flow, lists, tuples and scalars happen while recording and leave no trace, so a program
// holds for inputs of the recorded shapes. Internal to the readers.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "execute/program.h"

namespace orchard::execute {

struct Event {
  std::string path;  // of the module that calls, "encoder.0"; empty: the model itself
  std::string kind;  // "aten::linear"
  torch::jit::Operation run;
  std::vector<c10::IValue> arguments;
  std::vector<at::Tensor> results;
  const c10::FunctionSchema* schema = nullptr;
  int written = -1;  // argument that is written in place
  // Values of arguments that depend neither on inputs nor on parameters, as they were.
  std::vector<std::pair<const c10::TensorImpl*, at::Tensor>> constants;
};

class Tape {
 public:
  void AddInput(const std::string& name, const at::Tensor& value);
  // A tensor of the model's state. Again for a known one: nothing.
  void AddParameter(const std::string& name, const at::Tensor& value, bool trainable);

  // Runs an operator on the stack, in place of an interpreter. Throws ImpossibleError naming the
  // operator when a placed copy of the call could not be right: it draws random numbers, computes a
  // number from the values of tensors, or writes the model's state.
  void Run(const std::string& path, const std::string& kind, const c10::FunctionSchema& schema,
           bool random, torch::jit::Operation run, torch::jit::Stack& stack);

  // Operators for what was recorded. `outputs` are the tensors that the model returned.
  //
  // A call in place becomes the call that returns its result, where no other view of the memory is
  // read afterwards. Else the operators that touch that memory share a device and keep their order,
  // and training is refused. Views of at least the size of their base are made by each reader.
  Program Assemble(const std::string& name, const std::vector<at::Tensor>& outputs) const;

 private:
  friend class Assembler;
  bool Dynamic(const at::Tensor& tensor) const;
  void KeepConstants(Event& event, const std::vector<at::Tensor>& tensors);

  std::vector<Event> events_;
  std::vector<std::string> input_names_;
  std::vector<at::Tensor> inputs_, example_inputs_;
  std::vector<Parameter> parameters_;
  std::unordered_map<const c10::TensorImpl*, int32_t> parameter_of_;
  // Memory that depends on inputs or on trainable parameters.
  std::unordered_set<const void*> dynamic_;
  std::map<std::pair<const c10::TensorImpl*, int64_t>, at::Tensor> constants_;  // by version
  std::vector<at::Tensor> alive_;  // so that addresses stay names
};

}  // namespace orchard::execute
