// Shapes and costs of every node of a model: inputs first, then node by node, subgraphs included.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "place/analytic_cost.h"
#include "place/import/options.h"
#include "place/onnx/rules.h"

namespace orchard::place::onnx {

// One node of the main graph.
struct NodeFacts {
  std::vector<Value> outputs;  // one for each output of the node
  double flops = 0, dense_flops = 0;
  double us = 0, bwd_us = 0;
  int64_t inner_parameters = 0;  // bytes of weights that its subgraphs hold themselves
  int64_t temp = 0;              // bytes of the largest value inside its subgraphs
  uint8_t flags = 0;             // RuleFlag
  // Not an operator: what it makes is known before anything runs (a constant, a computation on
  // weights, a shape), and nobody outside reads it.
  bool folded = false;
};

class Inference {
 public:
  // `nodes` of the facts are in file order. Throws UsageError for sizes that the options leave
  // open, and DataError: shapes that contradict each other, a value that nothing makes, a cycle, an
  // output whose shape cannot be found (naming node and operator).
  Inference(const Model& model, const ImportOptions& options, ImportReport& report);
  ~Inference();

  const std::vector<NodeFacts>& nodes() const { return facts_; }
  // The order in which the nodes can run: that of the file, where it is one.
  const std::vector<int32_t>& order() const { return order_; }
  // A value of the main graph; nullptr when there is none of this name.
  const Value* Find(std::string_view name) const;

 private:
  struct Scope;
  struct Body;

  std::string Where(const Node& node) const;
  void ReadOptions();
  Value FromInfo(const ValueInfo& info) const;
  void SetInputs();
  void Order();
  void CheckOpen() const;
  NodeFacts Evaluate(const Node& node, Scope& scope);
  void Complete(const Node& node, OpCall& call, const OpRule* rule);
  void MergeStated(std::string_view name, Value& value);
  void DropConstants(OpCall& call);
  void Cost(const OpCall& call, const OpRule* rule, NodeFacts& facts) const;
  bool EvaluateControl(OpCall& call, Scope& scope, NodeFacts& facts);
  void EvaluateIf(OpCall& call, Scope& scope, NodeFacts& facts);
  void EvaluateLoop(OpCall& call, Scope& scope, NodeFacts& facts);
  void EvaluateScan(OpCall& call, Scope& scope, NodeFacts& facts);
  Body EvaluateBody(const GraphInfo& graph, Scope& outer, const std::vector<Value>& inputs);
  void Fold();
  void Note(const std::string& what, const std::string& who);

  const Model& model_;
  const ImportOptions& options_;
  ImportReport& report_;
  DevicePreset preset_;
  std::map<std::string, int64_t, std::less<>> dims_;
  std::map<std::string, Value, std::less<>> shapes_;
  std::unordered_map<std::string_view, const ValueInfo*> stated_;
  std::unique_ptr<Scope> scope_;
  std::vector<NodeFacts> facts_;
  std::vector<int32_t> order_;
  size_t folded_bytes_ = 0;  // of the constants that nodes made
  struct Noted {
    std::vector<std::string> first;
    std::unordered_set<std::string> all;
  };
  std::map<std::string, Noted> notes_;  // what, and whom it is true of
};

}  // namespace orchard::place::onnx
