#include "place/import/dot_graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/number_format.h"
#include "io/json_file.h"
#include "io/printable.h"
#include "place/import/dot_tokens.h"

namespace orchard::place {
namespace {

using Attributes = std::map<std::string, std::string, std::less<>>;

struct DotNode {
  std::string name;
  Attributes attributes;
  int64_t line;
};

struct DotEdge {
  std::string src, dst;
  Attributes attributes;
  int64_t line;
};

class DotParser {
 public:
  DotParser(std::string_view text, const std::string& where)
      : tokens_(text, where), may_copy_((size_t{64} << 20) + 16 * text.size()) {}

  std::vector<DotNode> nodes;
  std::vector<DotEdge> edges;
  Attributes graph;

  void Run() {
    if (tokens_.IsWord("strict")) tokens_.Next();
    if (!tokens_.IsWord("digraph"))
      tokens_.Fail("no directed graph: it does not begin with 'digraph'");
    tokens_.Next();
    if (tokens_.kind() == DotTokens::kId) {
      graph["model"] = tokens_.text();
      tokens_.Next();
    }
    tokens_.Expect('{');
    // Blocks nest by a list of what holds inside each, not by recursion.
    std::vector<Scope> scopes(1);
    while (!scopes.empty()) {
      if (tokens_.Is('}')) {
        tokens_.Next();
        scopes.pop_back();
      } else if (tokens_.Is(';') || tokens_.Is(',')) {
        tokens_.Next();
      } else {
        Statement(scopes);
      }
    }
    if (tokens_.kind() != DotTokens::kEnd) tokens_.Fail("text behind the graph");
  }

 private:
  struct Scope {
    Attributes node, edge;
  };

  void Statement(std::vector<Scope>& scopes) {
    constexpr size_t kDeepest = 100;
    if (tokens_.IsWord("subgraph") || tokens_.Is('{')) {
      if (tokens_.IsWord("subgraph")) tokens_.Next();
      if (tokens_.kind() == DotTokens::kId) tokens_.Next();
      tokens_.Expect('{');
      if (scopes.size() >= kDeepest) tokens_.Fail("subgraphs nest deeper than 100");
      scopes.push_back(scopes.back());
      return;
    }
    const int64_t line = tokens_.line();
    const bool keyword =
        tokens_.IsWord("graph") || tokens_.IsWord("node") || tokens_.IsWord("edge");
    const std::string first = tokens_.TakeId();
    if (keyword) {
      Attributes& into = first == "graph"  ? graph
                         : first == "node" ? scopes.back().node
                                           : scopes.back().edge;
      // What is said of a subgraph is not said of the graph.
      Attributes unused;
      TakeAttributes(first == "graph" && scopes.size() > 1 ? unused : into);
      return;
    }
    if (tokens_.Is('=')) {
      tokens_.Next();
      const std::string value = tokens_.TakeId();
      if (scopes.size() == 1) graph[first] = value;
      return;
    }
    SkipPort();
    std::vector<std::string> chain = {first};
    while (tokens_.kind() == DotTokens::kArrow) {
      tokens_.Next();
      chain.push_back(tokens_.TakeId());
      SkipPort();
    }
    if (chain.size() == 1) {
      Attributes attributes = scopes.back().node;
      TakeAttributes(attributes);
      Node(first, line, attributes);
      return;
    }
    Attributes attributes = scopes.back().edge;
    TakeAttributes(attributes);
    for (const std::string& name : chain) Node(name, line, scopes.back().node);
    for (size_t i = 0; i + 1 < chain.size(); ++i) {
      CountCopy(attributes);
      edges.push_back({chain[i], chain[i + 1], attributes, line});
    }
  }

  // Every node and edge has a copy of the attributes that were set for all: a long text there would
  // take memory that has nothing to do with the file's size.
  void CountCopy(const Attributes& attributes) {
    for (const auto& [key, value] : attributes) copied_ += key.size() + value.size();
    if (copied_ > may_copy_)
      tokens_.Fail("attributes that are set for all nodes or edges are too long");
  }

  // The first mention makes a node; later ones add attributes.
  void Node(const std::string& name, int64_t line, const Attributes& attributes) {
    const auto [entry, added] = index_.emplace(name, nodes.size());
    if (added) nodes.push_back({name, {}, line});
    CountCopy(attributes);
    for (const auto& [key, value] : attributes) nodes[entry->second].attributes[key] = value;
  }

  void SkipPort() {
    for (int i = 0; i < 2 && tokens_.Is(':'); ++i) {
      tokens_.Next();
      tokens_.TakeId();
    }
  }

  void TakeAttributes(Attributes& into) {
    while (tokens_.Is('[')) {
      tokens_.Next();
      while (!tokens_.Is(']')) {
        const std::string key = tokens_.TakeId();
        std::string value = "true";
        if (tokens_.Is('=')) {
          tokens_.Next();
          value = tokens_.TakeId();
        }
        into[key] = value;
        if (tokens_.Is(',') || tokens_.Is(';')) tokens_.Next();
      }
      tokens_.Next();
    }
  }

  DotTokens tokens_;
  std::map<std::string, size_t> index_;
  size_t may_copy_, copied_ = 0;  // bytes of attributes
};

// Attributes as numbers; errors name the line.
class Numbers {
 public:
  Numbers(const Attributes& attributes, std::string where)
      : attributes_(attributes), where_(std::move(where)) {}

  const std::string* Text(std::string_view key) const {
    const auto found = attributes_.find(key);
    return found == attributes_.end() ? nullptr : &found->second;
  }

  std::optional<double> Number(std::string_view key) const {
    const std::string* text = Text(key);
    if (!text) return std::nullopt;
    return Parse<double>(key, *text);
  }

  int64_t Bytes(std::string_view key) const {
    const std::string* text = Text(key);
    return text ? Parse<int64_t>(key, *text) : 0;
  }

  template <class T>
  std::vector<T> List(std::string_view key) const {
    std::vector<T> list;
    const std::string* text = Text(key);
    if (!text) return list;
    const std::string_view all = *text;
    for (size_t at = 0; at < all.size();) {
      const size_t comma = std::min(all.find(',', at), all.size());
      list.push_back(Parse<T>(key, all.substr(at, comma - at)));
      at = comma + 1;
    }
    return list;
  }

  const std::string& where() const { return where_; }

 private:
  template <class T>
  T Parse(std::string_view key, std::string_view text) const {
    T value{};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size())
      throw DataError(fmt::format("'{}' is {}, no number", key, io::Quoted(text)), where_);
    return value;
  }

  const Attributes& attributes_;
  std::string where_;
};

Op ReadOp(const DotNode& node, const std::string& file) {
  const Numbers numbers(node.attributes, fmt::format("{}:{}", file, node.line));
  Op op{.name = node.name};
  if (const std::string* type = numbers.Text("op")) op.type = *type;
  op.us = numbers.Number("us").value_or(0);
  op.us_on = numbers.List<double>("us_on");
  op.bwd_us = numbers.Number("bwd_us");
  op.update_us = numbers.Number("update_us");
  op.perm = numbers.Bytes("perm");
  op.perm_is_output = numbers.Bytes("perm_is_output") != 0;
  op.temp = numbers.Bytes("temp");
  op.out = numbers.List<int64_t>("out");
  for (int64_t saved : numbers.List<int64_t>("saved")) op.saved.push_back(saved != 0);
  if (const std::string* group = numbers.Text("group")) op.groups.push_back(*group);
  if (const std::string* groups = numbers.Text("groups")) {
    const nlohmann::json list = io::ParseJson(*groups, numbers.where() + " (groups)");
    if (!list.is_array()) throw DataError("'groups' is no list", numbers.where());
    for (const auto& group : list) {
      if (!group.is_string()) throw DataError("a group is no text", numbers.where());
      op.groups.push_back(group.get<std::string>());
    }
  }
  if (const auto expert = numbers.Number("expert"))
    op.expert = *expert >= 0 && *expert <= 1e6 ? static_cast<int32_t>(*expert) : -1;
  return op;
}

}  // namespace

Graph ParseDot(std::string_view text, const std::string& where) {
  DotParser parser(text, where);
  parser.Run();
  GraphBuilder builder(where);
  if (const auto model = parser.graph.find("model"); model != parser.graph.end())
    builder.graph.name = model->second;
  if (const auto source = parser.graph.find("source"); source != parser.graph.end())
    builder.graph.cost_source = source->second;
  if (const auto kept = parser.graph.find("persistent_memory"); kept != parser.graph.end()) {
    if (kept->second == "in-outputs")
      builder.graph.persistent_memory = PersistentMemory::kInOutputs;
    else if (kept->second != "separate")
      throw DataError(io::Quoted(kept->second) + " is neither 'separate' nor 'in-outputs'",
                      where + ": persistent_memory");
  }
  for (const DotNode& node : parser.nodes)
    builder.AddOp(ReadOp(node, where), fmt::format("line {}", node.line));
  for (const DotEdge& edge : parser.edges) {
    const std::string place = fmt::format("line {}", edge.line);
    const Numbers numbers(edge.attributes, fmt::format("{}:{}", where, edge.line));
    const int32_t src = builder.Find(edge.src, place), dst = builder.Find(edge.dst, place);
    const std::string* tensor = numbers.Text("tensor");
    const std::string name = tensor ? *tensor : edge.src + ":0";
    // Without a size: that of the output the tensor is.
    const Op& from = builder.graph.ops[src];
    double bytes = !tensor && !from.out.empty() ? static_cast<double>(from.out[0]) : 0;
    if (const auto stated = numbers.Number("bytes")) bytes = *stated;
    const auto us = numbers.Number("us");
    if (us && !(*us >= 0)) throw DataError("the cost is negative or no number", numbers.where());
    builder.AddUse(src, dst, name, bytes, us.value_or(-1), place);
  }
  return builder.Build();
}

std::string DotQuoted(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string DotConventions(const Graph& graph) {
  std::string text;
  if (!graph.name.empty()) text += fmt::format("  model={};\n", DotQuoted(graph.name));
  if (!graph.cost_source.empty())
    text += fmt::format("  source={};\n", DotQuoted(graph.cost_source));
  if (graph.persistent_memory == PersistentMemory::kInOutputs)
    text += "  persistent_memory=\"in-outputs\";\n";
  return text;
}

std::string DotOperator(const Op& op) {
  std::string text = DotQuoted(op.name) + " [";
  if (!op.type.empty()) text += "op=" + DotQuoted(op.type) + ", ";
  text += "us=" + FormatShortest(op.us);
  if (!op.us_on.empty()) text += fmt::format(", us_on=\"{}\"", fmt::join(op.us_on, ","));
  if (op.bwd_us) text += ", bwd_us=" + FormatShortest(*op.bwd_us);
  if (op.update_us) text += ", update_us=" + FormatShortest(*op.update_us);
  text += fmt::format(", perm={}, temp={}", op.perm, op.temp);
  if (op.perm_is_output) text += ", perm_is_output=1";
  if (!op.out.empty()) text += fmt::format(", out=\"{}\"", fmt::join(op.out, ","));
  if (!op.saved.empty()) text += fmt::format(", saved=\"{}\"", fmt::join(op.saved, ","));
  if (op.groups.size() == 1) text += ", group=" + DotQuoted(op.groups[0]);
  if (op.groups.size() > 1) text += ", groups=" + DotQuoted(nlohmann::json(op.groups).dump());
  if (op.expert >= 0) text += fmt::format(", expert={}", op.expert);
  return text + "]";
}

std::string DotTensor(const Graph& graph, const Edge& edge, int32_t tensor,
                      const std::string& look) {
  const Tensor& t = graph.tensors[tensor];
  std::string text = fmt::format(
      "{} -> {} [tensor={}, bytes={}", DotQuoted(graph.ops[edge.src].name),
      DotQuoted(graph.ops[edge.dst].name), DotQuoted(graph.tensor_names[tensor]), t.bytes);
  if (t.us >= 0) text += ", us=" + FormatShortest(t.us);
  return text + (look.empty() ? "" : ", " + look) + "]";
}

}  // namespace orchard::place
