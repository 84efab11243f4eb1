#include "place/onnx/rules.h"

#include <unordered_map>

namespace orchard::place::onnx {
namespace {

using Table = std::unordered_map<std::string_view, const OpRule*>;

void Add(Table& table, std::span<const OpRule> rules) {
  for (const OpRule& rule : rules) table[rule.name] = &rule;
}

Table StandardRules() {
  Table table;
  for (const auto rules : {ElementwiseRules(), NormalizationRules(), LayoutRules(), IndexingRules(),
                           SourceRules(), WindowRules(), ProductRules(), RecurrentRules(),
                           AttentionRules(), ReductionRules(), QuantizationRules()}) {
    Add(table, rules);
  }
  return table;
}

Table RuntimeRules() {
  Table table;
  Add(table, MicrosoftRules());
  return table;
}

}  // namespace

const OpRule* FindRule(const Node& node) {
  static const Table standard = StandardRules(), microsoft = RuntimeRules();
  const Table* table = node.standard() ? &standard : nullptr;
  if (node.domain == "com.microsoft") table = &microsoft;
  if (!table) return nullptr;
  const auto found = table->find(node.op_type);
  return found == table->end() ? nullptr : found->second;
}

double OutputElements(const OpCall& call) {
  if (call.outputs.empty() || !call.outputs[0].complete()) return 0;
  return static_cast<double>(call.outputs[0].Elements());
}

double InputElements(const OpCall& call) {
  if (!call.Has(0) || !call.inputs[0]->complete()) return 0;
  return static_cast<double>(call.inputs[0]->Elements());
}

void SameAsInput(OpCall& call) { call.Set(0, call.In(0)); }

}  // namespace orchard::place::onnx
