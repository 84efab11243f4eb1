#include "place/onnx/read_onnx.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "place/onnx/inference.h"

namespace orchard::place::onnx {
namespace {

constexpr int64_t kCopiedParameter = 4096;  // bytes; larger ones are shared between their readers

class GraphMaker {
 public:
  GraphMaker(const Model& model, const ImportOptions& options, ImportReport& report)
      : model_(model),
        report_(report),
        inference_(model, options, report),
        names_(NodeNames(model.graph)),
        builder_(model.source.name) {
    builder_.graph.cost_source = "analytic, " + options.preset;
  }

  Graph Run() {
    for (const std::string& name : names_) taken_.insert(name);
    FindViews();
    FindReaders();
    AddInputs();
    for (int32_t i : inference_.order()) {
      if (!inference_.nodes()[i].folded) AddNode(i);
    }
    if (unused_ > 0)
      report_.notes.push_back(fmt::format("weights that nothing reads, left out: {}", unused_));
    if (builder_.graph.ops.empty())
      throw DataError("the model computes nothing: all it puts out is constant",
                      model_.source.name);
    return builder_.Build();
  }

 private:
  struct Made {
    int32_t op = -1;
    int32_t port = 0;
    int64_t bytes = 0;
  };

  // What a node reads, each value once, views of a weight as the weight.
  std::vector<std::string_view> Reads(const Node& node) const {
    std::vector<std::string_view> reads;
    std::unordered_set<std::string_view> seen;
    for (std::string_view name : ValuesRead(node)) {
      if (seen.insert(Weight(name)).second) reads.push_back(Weight(name));
    }
    return reads;
  }

  // The weight that a value is another view of; any other value itself.
  std::string_view Weight(std::string_view name) const {
    const auto found = weight_of_.find(name);
    return found == weight_of_.end() ? name : found->second;
  }

  // A transposed or reshaped weight is that weight: tied weights are often read so.
  void FindViews() {
    for (int32_t i : inference_.order()) {
      const Node& node = model_.graph.nodes[i];
      const NodeFacts& facts = inference_.nodes()[i];
      const bool view = (facts.flags & kView) != 0 || node.op_type == "Transpose";
      if (!facts.folded || !view || !node.standard() || node.inputs.empty()) continue;
      const Value* from = node.inputs[0].empty() ? nullptr : inference_.Find(node.inputs[0]);
      if (!from || !from->load_time || node.outputs[0].empty()) continue;
      if (facts.outputs[0].Bytes() == from->Bytes())
        weight_of_[node.outputs[0]] = Weight(node.inputs[0]);
    }
  }

  void FindReaders() {
    for (int32_t i : inference_.order()) {
      const Node& node = model_.graph.nodes[i];
      const bool folded = inference_.nodes()[i].folded;
      const uint8_t flags = inference_.nodes()[i].flags;
      for (std::string_view name : Reads(node)) {
        read_.insert(name);
        if (folded) continue;
        ++readers_[name];
        if (flags & kSavesInputs) saved_.insert(name);
      }
    }
    for (const TensorInfo& tensor : model_.graph.initializers)
      unused_ += !read_.contains(tensor.name);
  }

  std::string Unique(std::string name) {
    const std::string base = name;
    for (int i = 2; !taken_.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
    return name;
  }

  void AddInputs() {
    std::unordered_set<std::string_view> weights;
    for (const TensorInfo& tensor : model_.graph.initializers) weights.insert(tensor.name);
    for (const ValueInfo& info : model_.graph.inputs) {
      if (weights.contains(info.name) || !readers_.contains(info.name)) continue;
      const Value& value = *inference_.Find(info.name);
      const int64_t bytes = BytesOf(value, info.name);
      Op op{.name = Unique(std::string(info.name)), .type = "Input", .bwd_us = 0, .out = {bytes}};
      op.saved = {saved_.contains(info.name)};
      made_[info.name] = {builder_.AddOp(std::move(op), "input"), 0, bytes};
    }
  }

  int64_t BytesOf(const Value& value, std::string_view name) const {
    try {
      return value.Bytes();
    } catch (const TooLarge&) {
      throw DataError("the value " + io::Quoted(name) + " has more than 2^60 bytes",
                      model_.source.name);
    }
  }

  // A weight that several nodes read, made an operator when the first of them comes.
  void AddShared(std::string_view name, int64_t bytes, const std::string& group) {
    Op op{.name = Unique(std::string(name)),
          .type = "Parameter",
          .bwd_us = 0,
          .perm = bytes,
          .perm_is_output = true,
          .out = {bytes},
          .saved = {0},
          .groups = {group}};
    made_[name] = {builder_.AddOp(std::move(op), "parameter"), 0, bytes};
  }

  void AddNode(int32_t i) {
    const Node& node = model_.graph.nodes[i];
    const NodeFacts& facts = inference_.nodes()[i];
    Op op{.name = names_[i], .type = node.Type(), .us = facts.us, .bwd_us = facts.bwd_us};
    op.perm = facts.inner_parameters;
    op.temp = facts.temp;
    const std::vector<std::string_view> reads = Reads(node);
    for (std::string_view name : reads) {
      const Value& value = *inference_.Find(name);
      if (!value.load_time) continue;
      const int64_t bytes = BytesOf(value, name);
      if (bytes <= kCopiedParameter || readers_[name] == 1) {
        op.perm += bytes;
        if (op.perm > kMaxElements)
          throw DataError("the parameters of " + io::Quoted(op.name) + " exceed 2^60 bytes",
                          model_.source.name);
      } else if (!made_.contains(name)) {
        op.groups.push_back(fmt::format("weight {}", name));
        AddShared(name, bytes, op.groups.back());
      }
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      op.out.push_back(BytesOf(facts.outputs[k], node.outputs[k]));
      op.saved.push_back((facts.flags & kSavesOutput) != 0 || saved_.contains(node.outputs[k]));
    }
    const int32_t index = builder_.AddOp(std::move(op), fmt::format("node {}", i));
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (!node.outputs[k].empty())
        made_[node.outputs[k]] = {index, static_cast<int32_t>(k),
                                  BytesOf(facts.outputs[k], node.outputs[k])};
    }
    for (std::string_view name : reads) {
      const auto found = made_.find(name);
      if (found == made_.end()) continue;  // a parameter of its own
      const Made& from = found->second;
      builder_.AddUse(from.op, index,
                      fmt::format("{}:{}", builder_.graph.ops[from.op].name, from.port),
                      static_cast<double>(from.bytes), -1, fmt::format("node {}", i));
    }
  }

  const Model& model_;
  ImportReport& report_;
  Inference inference_;
  std::vector<std::string> names_;
  std::unordered_set<std::string> taken_;
  GraphBuilder builder_;
  std::unordered_map<std::string_view, std::string_view> weight_of_;
  std::unordered_set<std::string_view> read_;              // by any node
  std::unordered_map<std::string_view, int32_t> readers_;  // that are operators
  std::unordered_set<std::string_view> saved_;             // some reader's backward needs it
  std::unordered_map<std::string_view, Made> made_;
  int64_t unused_ = 0;
};

}  // namespace

Graph ToGraph(const Model& model, const ImportOptions& options, ImportReport& report) {
  report.format =
      fmt::format("ONNX, IR version {}, operator set {}", model.ir_version, model.Opset(""));
  return GraphMaker(model, options, report).Run();
}

Graph ReadOnnx(const std::filesystem::path& path, const ImportOptions& options,
               ImportReport& report) {
  const io::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  const auto model = ParseModel(bytes, path.string());
  Graph graph = ToGraph(*model, options, report);
  graph.name = path.stem().string();  // graphs are mostly called "main_graph"
  return graph;
}

}  // namespace orchard::place::onnx
