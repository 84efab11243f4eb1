#include "place/models/model_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace orchard::place {
namespace {

constexpr int64_t kFloatBytes = 4;

}  // namespace

int64_t Elements(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

// One operator of the graph: a kernel, or all kernels of a block.
struct ModelBuilder::Unit {
  std::vector<int32_t> nodes;
  std::string name, type;
  struct Port {
    int32_t node, port;
    bool saved;
  };
  std::vector<Port> ports;  // outputs that others read
  int64_t kept = 0;         // bytes for the backward pass that nobody else reads
  int64_t scratch = 0;      // bytes while it runs
};

ModelBuilder::ModelBuilder(std::string name, const ModelOptions& options)
    : builder_(name), preset_(FindPreset(options.preset)), level_(options.level) {
  builder_.graph.name = std::move(name);
  builder_.graph.cost_source = "analytic";
}

ModelBuilder::Scope::Scope(ModelBuilder& builder, const std::string& name,
                           const ScopeOptions& options)
    : builder_(builder) {
  OpenScope scope{builder.path_.size(), "", -1, -1};
  if (!builder.scopes_.empty()) {
    const OpenScope& outer = builder.scopes_.back();
    scope = {builder.path_.size(), outer.group, outer.expert, outer.block};
  }
  builder.path_ += name + "/";
  if (!options.group.empty()) scope.group = options.group;
  if (options.expert >= 0) scope.expert = options.expert;
  if (!options.block_type.empty() && scope.block < 0) {
    scope.block = static_cast<int32_t>(builder.blocks_.size());
    builder.blocks_.push_back(
        {builder.path_.substr(0, builder.path_.size() - 1), options.block_type});
  }
  builder.scopes_.push_back(scope);
}

ModelBuilder::Scope::~Scope() {
  builder_.path_.resize(builder_.scopes_.back().path_size);
  builder_.scopes_.pop_back();
}

std::vector<Value> ModelBuilder::AddAll(const Kernel& kernel, const std::vector<Value>& inputs) {
  Node node{.kernel = kernel, .inputs = inputs, .path = path_ + kernel.name};
  if (!scopes_.empty()) {
    node.group = scopes_.back().group;
    node.expert = scopes_.back().expert;
    node.block = scopes_.back().block;
  }
  int64_t elements = kernel.parameters;
  for (const Value& input : inputs) elements += input.elements();
  for (const Dims& output : kernel.outputs) elements += Elements(output);
  const int64_t traffic = kernel.traffic >= 0 ? kernel.traffic : elements * kFloatBytes;
  node.us = AnalyticMicroseconds(kernel.flops, static_cast<double>(traffic), preset_);
  node.bwd_us = node.us * (kernel.dense ? kDenseBackward : kOtherBackward);
  owns_parameters_ = owns_parameters_ || kernel.parameters > 0;
  const auto index = static_cast<int32_t>(nodes_.size());
  nodes_.push_back(std::move(node));
  std::vector<Value> outputs;
  for (size_t k = 0; k < kernel.outputs.size(); ++k)
    outputs.push_back({index, static_cast<int32_t>(k), kernel.outputs[k]});
  return outputs;
}

Value ModelBuilder::Add(const Kernel& kernel, const std::vector<Value>& inputs) {
  return AddAll(kernel, inputs).at(0);
}

Value ModelBuilder::Source(const std::string& name, const std::string& type, const Dims& dims) {
  const Value value = Add({.name = name, .type = type, .outputs = {dims}}, {});
  Node& node = nodes_.back();
  node.us = node.bwd_us = 0;
  node.is_source = true;
  return value;
}

Value ModelBuilder::Variable(const std::string& name, const Dims& dims) {
  const Value value = Source(name, "Variable", dims);
  nodes_.back().kernel.parameters = Elements(dims);
  has_variables_ = true;
  return value;
}

// An output is saved where its maker or one of its readers needs it again.
std::vector<std::vector<uint8_t>> ModelBuilder::SavedPorts() const {
  std::vector<std::vector<uint8_t>> saved;
  saved.reserve(nodes_.size());
  for (const Node& node : nodes_)
    saved.emplace_back(node.kernel.outputs.size(), node.kernel.keeps_outputs ? 1 : 0);
  for (const Node& node : nodes_) {
    if (!node.kernel.keeps_inputs) continue;
    for (const Value& input : node.inputs) saved[input.kernel][input.port] = 1;
  }
  return saved;
}

std::vector<ModelBuilder::Unit> ModelBuilder::MakeUnits(std::vector<int32_t>& unit_of) const {
  std::vector<Unit> units;
  std::vector<int32_t> unit_of_block(blocks_.size(), -1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const int32_t block = level_ == Level::kLayer && !nodes_[i].is_source ? nodes_[i].block : -1;
    if (block >= 0 && unit_of_block[block] >= 0) {
      unit_of[i] = unit_of_block[block];
    } else {
      unit_of[i] = static_cast<int32_t>(units.size());
      if (block >= 0) unit_of_block[block] = unit_of[i];
      Unit unit;
      unit.name = block >= 0 ? blocks_[block].path : nodes_[i].path;
      unit.type = block >= 0 ? blocks_[block].type : nodes_[i].kernel.type;
      units.push_back(std::move(unit));
    }
    units[unit_of[i]].nodes.push_back(static_cast<int32_t>(i));
  }
  return units;
}

// Which outputs leave a unit. Those that stay inside are scratch, or kept for the backward pass.
void ModelBuilder::FindPorts(std::vector<Unit>& units, const std::vector<int32_t>& unit_of) {
  const std::vector<std::vector<uint8_t>> saved = SavedPorts();
  std::vector<std::vector<uint8_t>> leaves, is_read;
  for (const Node& node : nodes_) {
    leaves.emplace_back(node.kernel.outputs.size(), 0);
    is_read.emplace_back(node.kernel.outputs.size(), 0);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    for (const Value& input : nodes_[i].inputs) {
      is_read[input.kernel][input.port] = 1;
      if (unit_of[input.kernel] != unit_of[i]) leaves[input.kernel][input.port] = 1;
    }
  }
  const auto inside = [&](int32_t node, int32_t port) {
    return is_read[node][port] && !leaves[node][port];
  };
  for (Unit& unit : units) {
    for (int32_t i : unit.nodes) {
      const Kernel& kernel = nodes_[i].kernel;
      int64_t scratch = kernel.temp;
      for (int32_t k = 0; k < static_cast<int32_t>(kernel.outputs.size()); ++k) {
        if (!inside(i, k)) {
          unit.ports.push_back({i, k, saved[i][k] != 0});
          continue;
        }
        (saved[i][k] ? unit.kept : scratch) += Elements(kernel.outputs[k]) * kFloatBytes;
      }
      for (const Value& input : nodes_[i].inputs) {
        const bool own = unit_of[input.kernel] == unit_of[i];
        if (own && inside(input.kernel, input.port) && !saved[input.kernel][input.port])
          scratch += input.elements() * kFloatBytes;
      }
      unit.kept += kernel.kept;
      unit.scratch = std::max(unit.scratch, scratch);
    }
  }
}

void ModelBuilder::AddOps(const std::vector<Unit>& units) {
  for (const Unit& unit : units) {
    const Node& first = nodes_[unit.nodes[0]];
    Op op{.name = unit.name, .type = unit.type, .bwd_us = 0, .temp = unit.scratch};
    for (int32_t i : unit.nodes) {
      op.us += nodes_[i].us;
      *op.bwd_us += nodes_[i].bwd_us;
      op.perm += nodes_[i].kernel.parameters * kFloatBytes;
    }
    for (const Unit::Port& port : unit.ports) {
      op.out.push_back(Elements(nodes_[port.node].kernel.outputs[port.port]) * kFloatBytes);
      op.saved.push_back(port.saved ? 1 : 0);
    }
    if (unit.kept > 0) {
      op.out.push_back(unit.kept);
      op.saved.push_back(1);
    }
    if (!first.group.empty()) op.groups = {first.group};
    op.expert = first.expert;
    builder_.AddOp(std::move(op), unit.name);
  }
}

Model ModelBuilder::Build() {
  if (has_variables_) {
    builder_.graph.persistent_memory = PersistentMemory::kInOutputs;
    for (const Node& node : nodes_) {
      if (node.kernel.parameters > 0 && !node.is_source)
        throw Error(ExitCode::kInternal, "a model with variables has a kernel with parameters",
                    node.path);
    }
  }
  std::vector<int32_t> unit_of(nodes_.size());
  std::vector<Unit> units = MakeUnits(unit_of);
  FindPorts(units, unit_of);
  AddOps(units);
  std::vector<std::vector<int32_t>> port_of;  // of the unit, for outputs that leave it
  for (const Node& node : nodes_) port_of.emplace_back(node.kernel.outputs.size(), -1);
  for (const Unit& unit : units) {
    for (size_t k = 0; k < unit.ports.size(); ++k)
      port_of[unit.ports[k].node][unit.ports[k].port] = static_cast<int32_t>(k);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    for (const Value& input : nodes_[i].inputs) {
      const int32_t src = unit_of[input.kernel];
      if (src == unit_of[i]) continue;
      builder_.AddUse(src, unit_of[i],
                      fmt::format("{}:{}", units[src].name, port_of[input.kernel][input.port]),
                      static_cast<double>(input.elements() * kFloatBytes), -1, nodes_[i].path);
    }
  }
  Model model;
  for (const Node& node : nodes_) {
    model.flops += node.kernel.flops;
    if (node.kernel.dense) model.dense_flops += node.kernel.flops;
    model.parameters += node.kernel.parameters;
  }
  model.graph = builder_.Build();
  return model;
}

}  // namespace orchard::place
