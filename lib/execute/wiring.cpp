#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "execute/executor_state.h"
#include "io/printable.h"

namespace orchard::execute {
namespace {

void CheckGroups(const Program& program, const std::vector<int32_t>& device) {
  std::map<std::string, int32_t> first;
  for (int32_t i = 0; i < program.size(); ++i) {
    for (const std::string& group : program.operators[i].groups) {
      const int32_t other = first.emplace(group, i).first->second;
      if (device[other] == device[i]) continue;
      throw ImpossibleError(
          fmt::format("'{}' and '{}' must be on one device: they share the {}",
                      io::Printable(program.operators[other].name),
                      io::Printable(program.operators[i].name), io::Printable(group)),
          "placement");
    }
  }
}

}  // namespace

Layout SingleLayout(const Program& program, size_t devices) {
  Layout layout;
  layout.device.assign(program.size(), 0);
  layout.order.resize(devices);
  for (int32_t i = 0; i < program.size(); ++i) layout.order[0].push_back(i);
  return layout;
}

Wiring::Wiring(const Program& program, const Layout& layout, bool train)
    : device(layout.device), devices(layout.order.size()) {
  CheckGroups(program, device);
  for (int32_t i = 0; i < program.size(); ++i) {
    value_begin.push_back(static_cast<int32_t>(producer.size()));
    for (size_t k = 0; k < program.operators[i].output_bytes.size(); ++k) {
      producer.push_back(i);
      port.push_back(static_cast<int32_t>(k));
    }
  }
  const size_t values = producer.size();
  readers.resize(values * devices);
  destinations.resize(values);
  is_output.assign(values, 0);
  remote_inputs.assign(program.size(), 0);
  for (int32_t i = 0; i < program.size(); ++i) {
    for (const Value& input : program.operators[i].inputs) {
      const int32_t value = ValueIndex(input);
      auto& here = readers[value * devices + device[i]];
      const bool remote = device[input.op] != device[i];
      if (remote && here.empty()) destinations[value].push_back(device[i]);
      here.push_back(i);
      remote_inputs[i] += remote ? 1 : 0;
    }
  }
  for (const Value& output : program.outputs) is_output[ValueIndex(output)] = 1;

  needs_gradient.assign(program.size(), 0);
  gradient_slot.resize(program.size());
  awaited_gradients.assign(program.size(), 0);
  if (!train) return;
  std::vector<int32_t> slots(values, 0);
  for (int32_t i = 0; i < program.size(); ++i) {
    const Operator& op = program.operators[i];
    for (int32_t p : op.parameters) needs_gradient[i] |= program.parameters[p].trainable;
    for (const Value& input : op.inputs) {
      const bool flows =
          needs_gradient[input.op] && program.operators[input.op].differentiable[input.port];
      needs_gradient[i] |= flows;
      gradient_slot[i].push_back(flows ? slots[ValueIndex(input)]++ : -1);
    }
  }
  for (size_t value = 0; value < values; ++value) {
    gradient_begin.push_back(static_cast<int32_t>(value_of_slot.size()));
    value_of_slot.insert(value_of_slot.end(), slots[value], static_cast<int32_t>(value));
    awaited_gradients[producer[value]] += slots[value];
  }
  gradient_begin.push_back(static_cast<int32_t>(value_of_slot.size()));
  for (int32_t i = 0; i < program.size(); ++i) {
    for (size_t k = 0; k < gradient_slot[i].size(); ++k) {
      if (gradient_slot[i][k] >= 0)
        gradient_slot[i][k] += gradient_begin[ValueIndex(program.operators[i].inputs[k])];
    }
  }
}

}  // namespace orchard::execute
