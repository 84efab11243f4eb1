#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "execute/step_body.h"
#include "execute/tape.h"

namespace orchard::execute {
namespace {

constexpr int64_t kReplicated =
    1 << 16;  // untrained state up to this size is copied to its readers

// While a body is built its inputs are not counted yet, so slots carry what they are.
constexpr int32_t kParameterSlot = 1 << 24, kResultSlot = 1 << 25;

const void* Memory(const at::Tensor& tensor) {
  return tensor.has_storage() ? static_cast<const void*>(tensor.storage().unsafeGetStorageImpl())
                              : tensor.unsafeGetTensorImpl();
}

std::string ShortKind(const std::string& kind) {
  const size_t colon = kind.rfind(':');
  std::string text = colon == std::string::npos ? kind : kind.substr(colon + 1);
  while (!text.empty() && text.back() == '_') text.pop_back();
  return text;
}

bool HoldsTensors(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  CollectTensors(value, tensors);
  return !tensors.empty();
}

void Remap(Argument& argument, int32_t inputs, int32_t parameters) {
  if (argument.kind == Argument::Kind::kSlot) {
    if (argument.slot >= kResultSlot) {
      argument.slot += inputs + parameters - kResultSlot;
    } else if (argument.slot >= kParameterSlot) {
      argument.slot += inputs - kParameterSlot;
    }
  }
  for (Argument& part : argument.parts) Remap(part, inputs, parameters);
}

// Products and convolutions by their shapes; everything else one per element of the result.
double CountFlops(const Event& event) {
  if (event.results.empty() || !event.results[0].defined()) return 0;
  const auto out = static_cast<double>(event.results[0].numel());
  const auto tensor = [&](size_t k) {
    return k < event.arguments.size() && event.arguments[k].isTensor()
               ? event.arguments[k].toTensor()
               : at::Tensor();
  };
  const auto last = [](const at::Tensor& t) {
    return t.defined() && t.dim() > 0 ? static_cast<double>(t.size(-1)) : 1.0;
  };
  const std::string kind = ShortKind(event.kind);
  if (kind == "linear" || kind == "matmul" || kind == "mm" || kind == "bmm")
    return 2 * out * last(tensor(0));
  if (kind == "addmm" || kind == "baddbmm") return 2 * out * last(tensor(1));
  const at::Tensor weight = tensor(1);
  if (kind.find("conv") != std::string::npos && weight.defined() && weight.dim() > 2)
    return 2 * out * static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
  if (kind == "scaled_dot_product_attention" && weight.defined() && weight.dim() > 2)
    return 4 * out * static_cast<double>(weight.size(-2));  // two products over the keys
  return out;
}

}  // namespace

class Assembler {
 public:
  explicit Assembler(const Tape& tape) : tape_(tape) {
    program_.parameters = tape.parameters_;
    program_.example_inputs = tape.example_inputs_;
  }

  Program Assemble(const std::string& name, const std::vector<at::Tensor>& outputs) {
    program_.name = name;
    for (size_t k = 0; k < tape_.inputs_.size(); ++k) AddInput(k);
    for (const auto& [impl, parameter] : tape_.parameter_of_)
      definitions_[impl] = {Definition::Kind::kParameter, {}, parameter};
    FindShared(outputs);
    for (size_t e = 0; e < tape_.events_.size(); ++e) Add(static_cast<int32_t>(e));
    for (const at::Tensor& output : outputs) program_.outputs.push_back(OutputOf(output));
    OrderShared();
    DropUnused();
    GroupByParameters();
    return std::move(program_);
  }

 private:
  struct Definition {
    enum class Kind { kValue, kParameter, kView };
    Kind kind = Kind::kValue;
    Value value;
    int32_t index = -1;  // parameter, or event that makes the view
  };
  struct Body {
    Operator& op;
    StepBody& steps;
    std::map<std::pair<int32_t, int32_t>, int32_t> input_slot;
    std::map<int32_t, int32_t> parameter_slot;
    std::map<int32_t, int32_t> view_slot;  // by event
    int32_t results = 0;
  };

  std::string UniqueName(const std::string& wanted) {
    std::string name = wanted;
    for (int k = 2; !names_.insert(name).second; ++k) name = fmt::format("{}_{}", wanted, k);
    return name;
  }

  void AddInput(size_t k) {
    const at::Tensor& value = tape_.inputs_[k];
    Operator op;
    op.name = UniqueName(tape_.input_names_[k]);
    op.kind = "input";
    op.output_bytes = {static_cast<int64_t>(value.nbytes())};
    op.differentiable = {0};
    definitions_[value.unsafeGetTensorImpl()] = {Definition::Kind::kValue,
                                                 {static_cast<int32_t>(k), 0}};
    program_.operators.push_back(std::move(op));
  }

  // Finds the memory that is written in place while other views of it are read later: `shared_`.
  void FindShared(const std::vector<at::Tensor>& outputs) {
    const auto& events = tape_.events_;
    std::map<const c10::TensorImpl*, int32_t> made;  // event that made it; absent: before all
    for (size_t e = 0; e < events.size(); ++e) {
      for (const at::Tensor& t : events[e].results) {
        if (t.defined()) made.emplace(t.unsafeGetTensorImpl(), static_cast<int32_t>(e));
      }
    }
    for (size_t e = 0; e < events.size(); ++e) {
      if (events[e].written < 0 || Static(events[e])) continue;
      const at::Tensor written = events[e].arguments[events[e].written].toTensor();
      const auto older_view = [&](const at::Tensor& t) {
        if (!t.defined() || t.unsafeGetTensorImpl() == written.unsafeGetTensorImpl()) return false;
        if (Memory(t) != Memory(written)) return false;
        const auto found = made.find(t.unsafeGetTensorImpl());
        return found == made.end() || found->second < static_cast<int32_t>(e);
      };
      bool read = std::any_of(outputs.begin(), outputs.end(), older_view);
      for (size_t later = e + 1; later < events.size() && !read; ++later) {
        std::vector<at::Tensor> tensors;
        for (const c10::IValue& argument : events[later].arguments)
          CollectTensors(argument, tensors);
        read = std::any_of(tensors.begin(), tensors.end(), older_view);
      }
      if (!read) continue;
      shared_.insert(Memory(written));
      if (program_.no_training.empty()) {
        program_.no_training =
            fmt::format("{}{} writes memory in place that is read through another view",
                        events[e].kind, events[e].path.empty() ? "" : " in " + events[e].path);
      }
      for (const at::Tensor& input : tape_.inputs_) {
        if (Memory(input) == Memory(written))
          throw ImpossibleError("the operator writes an input of the model", events[e].kind);
      }
    }
  }

  // Depends neither on inputs nor on trained parameters.
  bool Static(const Event& event) const {
    if (event.written >= 0 && tape_.Dynamic(event.arguments[event.written].toTensor()))
      return false;
    return std::none_of(event.results.begin(), event.results.end(),
                        [&](const at::Tensor& t) { return tape_.Dynamic(t); });
  }

  bool FoldedView(const Event& event) const {
    if (event.written >= 0 || event.results.size() != 1 || !event.results[0].defined())
      return false;
    const at::Tensor& result = event.results[0];
    if (shared_.contains(Memory(result))) return false;
    std::vector<at::Tensor> inputs;
    for (const c10::IValue& argument : event.arguments) CollectTensors(argument, inputs);
    return inputs.size() == 1 && inputs[0].defined() && Memory(inputs[0]) == Memory(result) &&
           result.numel() >= inputs[0].numel() && inputs[0].scalar_type() == result.scalar_type();
  }

  void Add(int32_t e) {
    const Event& event = tape_.events_[e];
    if (Static(event)) return;
    if (FoldedView(event)) {
      definitions_[event.results[0].unsafeGetTensorImpl()] = {Definition::Kind::kView, {}, e};
    } else {
      AddOperator(e);
    }
  }

  Value AddOperator(int32_t e) {
    const Event& event = tape_.events_[e];
    Operator op;
    const std::string short_kind = ShortKind(event.kind);
    op.name = UniqueName(event.path.empty() ? short_kind : event.path + "." + short_kind);
    op.kind = event.kind;
    auto steps = std::make_shared<StepBody>();
    Body body{op, *steps};
    AddCall(event, body);
    const int32_t first = body.results - static_cast<int32_t>(event.results.size());
    const auto index = static_cast<int32_t>(program_.operators.size());
    for (size_t k = 0; k < event.results.size(); ++k) {
      const at::Tensor& result = event.results[k];
      steps->outputs.push_back(kResultSlot + first + static_cast<int32_t>(k));
      op.output_bytes.push_back(result.defined() ? static_cast<int64_t>(result.nbytes()) : 0);
      op.differentiable.push_back(result.defined() && result.is_floating_point());
      if (result.defined())
        definitions_[result.unsafeGetTensorImpl()] = {Definition::Kind::kValue,
                                                      {index, static_cast<int32_t>(k)}};
    }
    const auto inputs = static_cast<int32_t>(op.inputs.size());
    const auto parameters = static_cast<int32_t>(op.parameters.size());
    for (Call& call : steps->calls) {
      for (Argument& argument : call.arguments) Remap(argument, inputs, parameters);
    }
    for (int32_t& slot : steps->outputs) slot += inputs + parameters - kResultSlot;
    op.flops = CountFlops(event);
    op.body = std::move(steps);
    event_of_.resize(index + 1, -1);
    event_of_[index] = e;
    program_.operators.push_back(std::move(op));
    return {index, 0};
  }

  // Appends the call and, before it, the views that it reads.
  void AddCall(const Event& event, Body& body) {
    Call call{.run = event.run};
    for (size_t k = 0; k < event.arguments.size(); ++k)
      call.arguments.push_back(MakeArgument(event.arguments[k], event, body));
    if (event.written >= 0 &&
        !shared_.contains(Memory(event.arguments[event.written].toTensor()))) {
      if (event.written > 0)
        throw ImpossibleError("the operator writes into an argument", event.kind);
      MakeFunctional(event, call);
    }
    body.steps.calls.push_back(std::move(call));
    body.results += static_cast<int32_t>(event.results.size());
  }

  // relu_ becomes relu; where there is no such twin, the call works on a copy.
  static void MakeFunctional(const Event& event, Call& call) {
    std::string name = event.schema->name();
    if (name.ends_with("_")) {
      name.pop_back();
      const auto twin =
          c10::Dispatcher::singleton().findSchema({name, event.schema->overload_name()});
      if (twin && twin->schema().arguments().size() == event.arguments.size() &&
          twin->schema().returns().size() == 1) {
        call.run = torch::jit::Operation(
            [handle = *twin](torch::jit::Stack& stack) { handle.callBoxed(&stack); });
        return;
      }
    }
    call.clones_first = true;
  }

  Argument MakeArgument(const c10::IValue& value, const Event& event, Body& body) {
    Argument argument;
    if (value.isTensor()) {
      if (!value.toTensor().defined()) {
        argument.constant = value;
        return argument;
      }
      argument.kind = Argument::Kind::kSlot;
      argument.slot = Slot(value.toTensor(), event, body);
    } else if (value.isDevice()) {
      argument.kind = Argument::Kind::kDevice;
    } else if (value.isList() && HoldsTensors(value)) {
      argument.kind = Argument::Kind::kList;
      argument.element_type = value.toList().elementType();
      for (const c10::IValue& part : value.toListRef())
        argument.parts.push_back(MakeArgument(part, event, body));
    } else if (value.isTuple() && HoldsTensors(value)) {
      argument.kind = Argument::Kind::kTuple;
      for (const c10::IValue& part : value.toTupleRef().elements())
        argument.parts.push_back(MakeArgument(part, event, body));
    } else if (HoldsTensors(value)) {
      throw ImpossibleError("the operator takes tensors in a dictionary", event.kind);
    } else {
      argument.constant = value;
    }
    return argument;
  }

  int32_t ParameterSlot(int32_t parameter, Body& body) {
    const auto [entry, added] = body.parameter_slot.emplace(
        parameter, kParameterSlot + static_cast<int32_t>(body.op.parameters.size()));
    if (added) body.op.parameters.push_back(parameter);
    return entry->second;
  }

  int32_t Slot(const at::Tensor& tensor, const Event& event, Body& body) {
    const auto found = definitions_.find(tensor.unsafeGetTensorImpl());
    if (found == definitions_.end()) return ParameterSlot(ConstantOf(tensor, event), body);
    const Definition& definition = found->second;
    if (definition.kind == Definition::Kind::kParameter)
      return ParameterSlot(definition.index, body);
    if (definition.kind == Definition::Kind::kView) {
      const auto known = body.view_slot.find(definition.index);
      if (known != body.view_slot.end()) return known->second;
      AddCall(tape_.events_[definition.index], body);
      return body.view_slot[definition.index] = kResultSlot + body.results - 1;
    }
    const auto [entry, added] =
        body.input_slot.emplace(std::pair(definition.value.op, definition.value.port),
                                static_cast<int32_t>(body.op.inputs.size()));
    if (added) body.op.inputs.push_back(definition.value);
    return entry->second;
  }

  int32_t ConstantOf(const at::Tensor& tensor, const Event& event) {
    for (const auto& [impl, value] : event.constants) {
      if (impl != tensor.unsafeGetTensorImpl()) continue;
      const auto [entry, added] = constant_of_.emplace(
          value.unsafeGetTensorImpl(), static_cast<int32_t>(program_.parameters.size()));
      if (added)
        program_.parameters.push_back({fmt::format("constant{}", constant_of_.size()), value});
      return entry->second;
    }
    throw Error(ExitCode::kInternal, "a tensor without an origin", event.kind);
  }

  Value OutputOf(const at::Tensor& tensor) {
    const auto found = definitions_.find(tensor.unsafeGetTensorImpl());
    if (found == definitions_.end() || found->second.kind == Definition::Kind::kParameter)
      throw ImpossibleError("the model returns a tensor that does not depend on its inputs", "");
    if (found->second.kind == Definition::Kind::kValue) return found->second.value;
    return AddOperator(found->second.index);
  }

  // What touches shared memory runs on one device and in the recorded order.
  void OrderShared() {
    std::map<const void*, std::vector<std::pair<int32_t, bool>>> touches;
    for (int32_t i = program_.inputs(); i < program_.size(); ++i) {
      const Event& event = tape_.events_[event_of_[i]];
      std::vector<at::Tensor> tensors = event.results;
      for (const c10::IValue& argument : event.arguments) CollectTensors(argument, tensors);
      std::set<const void*> seen;
      for (const at::Tensor& tensor : tensors) {
        if (!tensor.defined() || !shared_.contains(Memory(tensor))) continue;
        if (!seen.insert(Memory(tensor)).second) continue;
        const bool writes = event.written >= 0 &&
                            Memory(event.arguments[event.written].toTensor()) == Memory(tensor);
        touches[Memory(tensor)].emplace_back(i, writes);
      }
    }
    for (const auto& [memory, list] : touches) {
      const std::string group = "memory of " + program_.operators[list[0].first].name;
      std::vector<int32_t> readers;
      int32_t writer = -1;
      for (const auto& [op, writes] : list) {
        program_.operators[op].groups.push_back(group);
        if (writer >= 0) program_.operators[op].after.push_back(writer);
        if (writes) {
          for (int32_t reader : readers) program_.operators[op].after.push_back(reader);
          readers.clear();
          writer = op;
          writers_.insert(op);
        } else {
          readers.push_back(op);
        }
      }
    }
  }

  void DropUnused() {
    const int32_t size = program_.size();
    std::vector<uint8_t> used(size, 0);
    for (const Value& value : program_.outputs) used[value.op] = 1;
    for (int32_t i = size - 1; i >= 0; --i) {
      if (i < program_.inputs() || writers_.contains(i)) used[i] = 1;
      if (!used[i]) continue;
      for (const Value& value : program_.operators[i].inputs) used[value.op] = 1;
    }
    std::vector<int32_t> renumbered(size, -1);
    std::vector<Operator> kept;
    for (int32_t i = 0; i < size; ++i) {
      if (!used[i]) continue;
      renumbered[i] = static_cast<int32_t>(kept.size());
      Operator op = std::move(program_.operators[i]);
      for (Value& value : op.inputs) value.op = renumbered[value.op];
      std::set<int32_t> after;
      for (int32_t before : op.after) {
        if (renumbered[before] >= 0) after.insert(renumbered[before]);
      }
      for (const Value& value : op.inputs) after.erase(value.op);
      op.after.assign(after.begin(), after.end());
      kept.push_back(std::move(op));
    }
    program_.operators = std::move(kept);
    for (Value& value : program_.outputs) value.op = renumbered[value.op];
  }

  // A trained parameter has one home. So has large state that is read by several.
  void GroupByParameters() {
    std::vector<std::vector<int32_t>> readers(program_.parameters.size());
    for (int32_t i = 0; i < program_.size(); ++i) {
      for (int32_t p : program_.operators[i].parameters) readers[p].push_back(i);
    }
    for (size_t p = 0; p < readers.size(); ++p) {
      const Parameter& parameter = program_.parameters[p];
      const bool one_home =
          parameter.trainable || static_cast<int64_t>(parameter.value.nbytes()) > kReplicated;
      if (readers[p].size() < 2 || !one_home) continue;
      for (int32_t i : readers[p])
        program_.operators[i].groups.push_back("parameter " + parameter.name);
    }
  }

  const Tape& tape_;
  Program program_;
  std::map<const c10::TensorImpl*, Definition> definitions_;
  std::map<const c10::TensorImpl*, int32_t> constant_of_;
  std::set<const void*> shared_;
  std::set<int32_t> writers_;
  std::set<std::string> names_;
  std::vector<int32_t> event_of_;  // of each operator
};

Program Tape::Assemble(const std::string& name, const std::vector<at::Tensor>& outputs) const {
  return Assembler(*this).Assemble(name, outputs);
}

}  // namespace orchard::execute
