#include "place/tensorflow/read_graph_def.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "place/analytic_cost.h"
#include "place/tensorflow/graph_def_text.h"

namespace orchard::place::tensorflow {
namespace {

constexpr int64_t kUnknownBytes = 4;  // of an output of which nothing is known
constexpr int64_t kControlBytes = 4;
constexpr double kUntracedUs = 1;

// "/job:worker/task:0/device:GPU:1", "/gpu:1" -> 1; -1 for anything else.
int32_t GpuNumber(std::string_view device) {
  std::string lower(device);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const size_t at = lower.rfind("gpu:");
  if (at == lower.npos) return -1;
  int32_t number = -1;
  const char* begin = lower.data() + at + 4;
  const auto result = std::from_chars(begin, lower.data() + lower.size(), number);
  constexpr int32_t kMost = 1'000'000;
  return result.ec == std::errc() && number >= 0 && number <= kMost ? number : -1;
}

bool IsVariable(std::string_view op) {
  return op == "Variable" || op == "VariableV2" || op == "VarHandleOp";
}

// Nodes that do nothing when they run.
bool IsFree(std::string_view op) {
  constexpr std::string_view kOps[] = {"Const",   "Placeholder", "PlaceholderWithDefault",
                                       "NoOp",    "Identity",    "ReadVariableOp",
                                       "Reshape", "Squeeze",     "ExpandDims",
                                       "Shape",   "StopGradient"};
  return IsVariable(op) || std::find(std::begin(kOps), std::end(kOps), op) != std::end(kOps);
}

class GraphMaker {
 public:
  GraphMaker(const GraphDef& graph, const RunMetadata& traces, const ImportOptions& options,
             ImportReport& report)
      : graph_(graph),
        traces_(traces),
        report_(report),
        preset_(FindPreset(options.preset)),
        builder_(graph.source.name) {
    builder_.graph.persistent_memory = PersistentMemory::kInOutputs;
    builder_.graph.cost_source = traces.empty() ? "analytic, " + options.preset : "RunMetadata";
    for (const std::string& text : options.dim) {
      constexpr std::string_view kBatch = "batch=";
      const char* end = text.data() + text.size();
      const bool named = text.starts_with(kBatch);
      const auto result = std::from_chars(text.data() + (named ? kBatch.size() : 0), end, batch_);
      if (!named || result.ec != std::errc() || result.ptr != end || batch_ < 0 ||
          batch_ > 1LL << 40)
        throw UsageError("only the open first axes of a TensorFlow graph can be given",
                         "--dim " + io::Printable(text), "as batch=8");
    }
  }

  Graph Run() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      index_.emplace(graph_.nodes[i].name, static_cast<int32_t>(i));
    for (const NodeDef& node : graph_.nodes) heads_.insert(node.groups.begin(), node.groups.end());
    CountPorts();
    for (size_t i = 0; i < graph_.nodes.size(); ++i) AddNode(i);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) AddInputs(i);
    Report();
    return builder_.Build();
  }

 private:
  std::string Where(const NodeDef& node) const {
    return fmt::format("{}: node {} ({})", graph_.source.name, io::Quoted(node.name),
                       io::Printable(node.op));
  }

  void CountPorts() {
    ports_.assign(graph_.nodes.size(), 0);
    for (const NodeDef& node : graph_.nodes) {
      for (const NodeInput& input : node.inputs) {
        const auto found = index_.find(input.node);
        if (found == index_.end())
          throw DataError("reads " + io::Quoted(input.node) + ", which is not in the graph",
                          Where(node));
        constexpr int32_t kMostPorts = 100'000;
        if (input.port >= kMostPorts)
          throw DataError(fmt::format("reads output {} of {}", input.port, io::Quoted(input.node)),
                          Where(node));
        ports_[found->second] = std::max(ports_[found->second], input.port + 1);
      }
    }
  }

  // The shape of an output, with the open first axis filled in.
  std::optional<TensorShape> ShapeOf(const NodeDef& node, size_t port) const {
    std::optional<TensorShape> shape;
    if (port < node.output_shapes.size())
      shape = node.output_shapes[port];
    else if (port == 0 && node.output_shapes.empty())
      shape = node.shape;
    if (shape && !shape->empty() && (*shape)[0] < 0 && batch_ >= 0) (*shape)[0] = batch_;
    return shape;
  }

  static int32_t TypeOf(const NodeDef& node, size_t port) {
    return port < node.port_types.size() ? node.port_types[port] : node.type;
  }

  // Arithmetic of products by their shapes; one operation for each output element of the rest.
  double Flops(const NodeDef& node) const {
    const double out = Elements(ShapeOf(node, 0)).value_or(0);
    const auto in = [&](size_t k) -> std::optional<TensorShape> {
      if (k >= node.inputs.size() || node.inputs[k].port < 0) return std::nullopt;
      return ShapeOf(graph_.nodes[index_.at(node.inputs[k].node)],
                     static_cast<size_t>(node.inputs[k].port));
    };
    if (node.op == "MatMul" || node.op.starts_with("BatchMatMul")) {
      const auto a = in(0);
      if (!a || a->size() < 2) return out;
      return 2 * out *
             static_cast<double>(
                 std::max<int64_t>(0, (*a)[a->size() - (node.transpose_a ? 2 : 1)]));
    }
    if (node.op == "Conv2D" || node.op == "DepthwiseConv2dNative") {
      const auto w = in(1);  // [height, width, in, out]
      if (!w || w->size() != 4 || !Elements(w)) return out;
      const bool depthwise = node.op != "Conv2D";
      return 2 * out * static_cast<double>((*w)[0]) * static_cast<double>((*w)[1]) *
             (depthwise ? 1 : static_cast<double>((*w)[2]));
    }
    return out;
  }

  static bool IsDense(std::string_view op) {
    return op == "MatMul" || op.starts_with("BatchMatMul") || op == "Conv2D" ||
           op == "DepthwiseConv2dNative";
  }

  double AnalyticUs(const NodeDef& node, const std::vector<int64_t>& out) {
    if (IsFree(node.op)) return 0;
    double bytes = 0;
    for (int64_t size : out) bytes += static_cast<double>(size);
    for (const NodeInput& input : node.inputs) {
      if (input.port < 0) continue;
      const NodeDef& from = graph_.nodes[index_.at(input.node)];
      const auto port = static_cast<size_t>(input.port);
      bytes +=
          static_cast<double>(TensorBytes(ShapeOf(from, port), TypeOf(from, port)).value_or(0));
    }
    const double flops = Flops(node);
    report_.flops += flops;
    if (IsDense(node.op)) report_.dense_flops += flops;
    return AnalyticMicroseconds(flops, bytes, preset_);
  }

  std::vector<int64_t> OutputBytes(size_t i, const NodeTrace* trace) {
    const NodeDef& node = graph_.nodes[i];
    size_t ports = std::max(static_cast<size_t>(ports_[i]), node.output_shapes.size());
    if (node.shape) ports = std::max<size_t>(1, ports);
    if (trace && !trace->out.empty())
      ports = std::max(ports, static_cast<size_t>(trace->out.rbegin()->first) + 1);
    made_ports_ += ports;
    constexpr size_t kAlways = 1'000'000, kForEach = 16;
    if (made_ports_ > kAlways + kForEach * graph_.nodes.size()) {
      throw DataError(fmt::format("has {} outputs, which are more than such a graph has", ports),
                      Where(node));
    }
    std::vector<int64_t> out;
    for (size_t k = 0; k < ports; ++k) {
      if (trace && trace->out.contains(static_cast<int32_t>(k))) {
        out.push_back(trace->out.at(static_cast<int32_t>(k)));
        ++known_;
      } else if (const auto bytes = TensorBytes(ShapeOf(node, k), TypeOf(node, k))) {
        out.push_back(*bytes);
        ++known_;
        ++report_.stated_shapes;
      } else {
        const auto shape = ShapeOf(node, k);
        if (shape && !shape->empty() && (*shape)[0] < 0 && ElementBytes(TypeOf(node, k)) > 0)
          ++open_;
        out.push_back(kUnknownBytes);
        ++unknown_;
      }
    }
    return out;
  }

  void AddNode(size_t i) {
    const NodeDef& node = graph_.nodes[i];
    Op op{.name = std::string(node.name), .type = std::string(node.op)};
    const NodeTrace* trace = traces_.Find(op.name);
    op.out = OutputBytes(i, trace);
    if (traces_.empty()) {
      op.us = AnalyticUs(node, op.out);
      op.bwd_us = (IsDense(node.op) ? kDenseBackward : kOtherBackward) * op.us;
    } else if (trace && !trace->us.empty()) {
      op.us = trace->Median();
      ++known_;
    } else {
      op.us = kUntracedUs;
      ++untraced_;
    }
    double all = 0;
    for (int64_t size : op.out) all += static_cast<double>(size);
    if (trace) op.temp = trace->temp;
    if (IsVariable(node.op) || node.op == "Const")
      op.perm = op.out.empty() ? 0 : op.out[0];
    else if (trace)
      op.perm = std::min(trace->persistent, static_cast<int64_t>(std::min(all, 1e18)));
    for (std::string_view group : node.groups) op.groups.emplace_back(group);
    // A group is called after a node, which belongs to it.
    if (heads_.contains(node.name)) op.groups.emplace_back(node.name);
    op.expert = GpuNumber(node.device);
    builder_.AddOp(std::move(op), fmt::format("node {}", i));
  }

  void AddInputs(size_t i) {
    const NodeDef& node = graph_.nodes[i];
    for (const NodeInput& input : node.inputs) {
      const int32_t from = index_.at(input.node);
      if (graph_.nodes[from].op == "NextIteration" || graph_.nodes[from].op == "RefNextIteration") {
        ++loops_;  // the way back of a loop
        continue;
      }
      const std::string place = fmt::format("node {}", i);
      if (input.port < 0) {
        builder_.AddUse(from, static_cast<int32_t>(i), "^" + std::string(input.node),
                        static_cast<double>(kControlBytes), -1, place);
      } else {
        const int64_t bytes = builder_.graph.ops[from].out[static_cast<size_t>(input.port)];
        builder_.AddUse(from, static_cast<int32_t>(i), fmt::format("{}:{}", input.node, input.port),
                        static_cast<double>(bytes), -1, place);
      }
    }
  }

  void Report() {
    if (open_ > 0 && batch_ < 0 && traces_.empty()) {
      throw UsageError(fmt::format("the graph leaves the first axis of {} outputs open", open_),
                       graph_.source.name, "give --dim batch=8");
    }
    report_.nodes = static_cast<int64_t>(graph_.nodes.size());
    if (traces_.empty() ? unknown_ > known_ : known_ == 0) {
      throw DataError(
          fmt::format("nothing says how large {} of {} outputs are", unknown_, unknown_ + known_),
          graph_.source.name, "write the graph with add_shapes=True, or give --run-metadata");
    }
    if (unknown_ > 0)
      report_.notes.push_back(
          fmt::format("outputs of which nothing says how large they are, counted as {} bytes: {}",
                      kUnknownBytes, unknown_));
    if (untraced_ > 0)
      report_.notes.push_back(
          fmt::format("nodes that no trace times, counted as {} us: {}", kUntracedUs, untraced_));
    if (loops_ > 0)
      report_.notes.push_back(
          fmt::format("ways back of loops, left out (a loop counts as one round): {}", loops_));
    if (graph_.has_functions)
      report_.notes.push_back("the graph has functions, whose calls count as one operator each");
  }

  const GraphDef& graph_;
  const RunMetadata& traces_;
  ImportReport& report_;
  DevicePreset preset_;
  int64_t batch_ = -1;
  GraphBuilder builder_;
  std::unordered_map<std::string_view, int32_t> index_;
  std::unordered_set<std::string_view> heads_;  // nodes that groups are called after
  std::vector<int32_t> ports_;                  // outputs that are read
  size_t made_ports_ = 0;                       // of all nodes: a few bytes name output 99,999
  int64_t known_ = 0, unknown_ = 0, open_ = 0, untraced_ = 0, loops_ = 0;
};

}  // namespace

Graph ToGraph(const GraphDef& graph, const RunMetadata& traces, const ImportOptions& options,
              ImportReport& report) {
  report.format = "TensorFlow GraphDef";
  return GraphMaker(graph, traces, options, report).Run();
}

Graph ReadGraphDef(const std::filesystem::path& path, bool text, const ImportOptions& options,
                   ImportReport& report) {
  const io::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  RunMetadata traces;
  for (const auto& metadata : options.run_metadata) traces.Add(metadata);
  const GraphDef def =
      text ? ParseGraphDefText(bytes, path.string()) : ParseGraphDef(bytes, path.string());
  Graph graph = ToGraph(def, traces, options, report);
  graph.name = path.stem().string();
  return graph;
}

}  // namespace orchard::place::tensorflow
