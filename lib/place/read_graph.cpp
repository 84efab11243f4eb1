#include "place/read_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "io/json_file.h"
#include "io/printable.h"
#include "place/json_fields.h"

namespace orchard::place {
namespace {

using Json = nlohmann::json;

Op ReadOp(const JsonAt& at) {
  Op op;
  op.name = at.At("name").Text();
  if (at.Has("op")) op.type = at.At("op").Text();
  op.us = at.At("us").Number();
  if (at.Has("us_on")) {
    const JsonAt us_on = at.At("us_on");
    for (size_t d = 0; d < us_on.ArraySize(); ++d) op.us_on.push_back(us_on.At(d).Number());
  }
  if (at.Has("bwd_us")) op.bwd_us = at.At("bwd_us").Number();
  if (at.Has("update_us")) op.update_us = at.At("update_us").Number();
  if (at.Has("perm")) op.perm = at.At("perm").Bytes();
  if (at.Has("perm_is_output")) op.perm_is_output = at.At("perm_is_output").Truth();
  if (at.Has("temp")) op.temp = at.At("temp").Bytes();
  if (at.Has("out")) {
    const JsonAt out = at.At("out");
    for (size_t k = 0; k < out.ArraySize(); ++k) op.out.push_back(out.At(k).Bytes());
  }
  if (at.Has("saved")) {
    const JsonAt saved = at.At("saved");
    for (size_t k = 0; k < saved.ArraySize(); ++k) op.saved.push_back(saved.At(k).Truth());
  }
  if (at.Has("group")) op.groups.push_back(at.At("group").Text());
  if (at.Has("groups")) {
    const JsonAt groups = at.At("groups");
    for (size_t k = 0; k < groups.ArraySize(); ++k) op.groups.push_back(groups.At(k).Text());
  }
  if (at.Has("expert")) {
    const int64_t expert = at.At("expert").Integer();
    if (expert < -1 || expert > 1'000'000) at.At("expert").Fail("not a device number");
    op.expert = static_cast<int32_t>(expert);
  }
  return op;
}

PersistentMemory ReadConvention(const JsonAt& meta) {
  if (!meta.Has("persistent_memory")) return PersistentMemory::kSeparate;
  const JsonAt at = meta.At("persistent_memory");
  const std::string text = at.Text();
  if (text == "separate") return PersistentMemory::kSeparate;
  if (text == "in-outputs" || text.starts_with("included in out"))
    return PersistentMemory::kInOutputs;
  at.Fail("'" + io::Printable(text) + "' is neither 'separate' nor 'in-outputs'");
}

Graph ReadOwn(const JsonAt& root) {
  const int64_t version = root.At("version").Integer();
  if (version != 1) root.At("version").Fail(fmt::format("version {} is not known", version));
  GraphBuilder builder(root.file());
  if (root.Has("meta")) {
    const JsonAt meta = root.At("meta");
    builder.graph.persistent_memory = ReadConvention(meta);
    if (meta.Has("model")) builder.graph.name = meta.At("model").Text();
    if (meta.Has("source") && meta.At("source").value().is_string())
      builder.graph.cost_source = meta.At("source").Text();
    if (meta.Has("time_unit") && meta.At("time_unit").Text() != "us")
      meta.At("time_unit").Fail("times must be in 'us'");
  }
  const JsonAt ops = root.At("ops");
  for (size_t i = 0; i < ops.ArraySize(); ++i) builder.AddOp(ReadOp(ops.At(i)), ops.At(i).path());
  const JsonAt edges = root.At("edges");
  for (size_t i = 0; i < edges.ArraySize(); ++i) {
    const JsonAt edge = edges.At(i);
    const std::string source = edge.At("src").Text();
    const int32_t src = builder.Find(source, edge.path() + ".src");
    const int32_t dst = builder.Find(edge.At("dst").Text(), edge.path() + ".dst");
    const std::string tensor = edge.Has("tensor") ? edge.At("tensor").Text() : source + ":0";
    double us = -1;
    if (edge.Has("us")) {
      us = edge.At("us").Number();
      if (us < 0) edge.At("us").Fail(fmt::format("the cost is negative ({})", us));
    }
    builder.AddUse(src, dst, tensor, edge.At("bytes").Number(), us, edge.path());
  }
  return builder.Build();
}

// ---- msr
// ------------------------------------------------------------------------------------------

// Edges of one producer with the same size and cost are uses of one tensor: the files do not say
// more.
class MsrTensors {
 public:
  // Output port for a tensor of `bytes` that costs `ms`; `added` says whether it is new.
  int32_t Port(int32_t producer, double bytes, double ms) {
    auto& ports = ports_[producer];
    const auto [entry, added] =
        ports.emplace(std::pair(bytes, ms), static_cast<int32_t>(ports.size()));
    return entry->second;
  }

 private:
  std::unordered_map<int32_t, std::map<std::pair<double, double>, int32_t>> ports_;
};

struct MsrEdge {
  int32_t src, dst;
  double bytes, ms;
  int32_t port;
};

std::vector<MsrEdge> ReadMsrEdges(const JsonAt& edges,
                                  const std::unordered_map<int64_t, int32_t>& op_of_id,
                                  std::vector<Op>& ops) {
  std::vector<MsrEdge> list;
  MsrTensors tensors;
  const auto end_of = [&](const JsonAt& edge, const char* key) {
    const int64_t id = edge.At(key).Integer();
    const auto found = op_of_id.find(id);
    if (found == op_of_id.end()) edge.At(key).Fail(fmt::format("no node has the id {}", id));
    return found->second;
  };
  for (size_t i = 0; i < edges.ArraySize(); ++i) {
    const JsonAt edge = edges.At(i);
    MsrEdge e{.src = end_of(edge, "sourceId"), .dst = end_of(edge, "destId")};
    e.ms = edge.At("cost").Number();
    e.bytes = edge.Has("size") ? edge.At("size").Number() : 0;
    if (e.ms < 0) edge.At("cost").Fail("the cost is negative");
    if (e.bytes < 0 || e.bytes > 1e18) edge.At("size").Fail("not a size in bytes");
    e.port = tensors.Port(e.src, e.bytes, e.ms);
    auto& out = ops[e.src].out;
    if (e.port == static_cast<int32_t>(out.size()))
      out.push_back(static_cast<int64_t>(std::ceil(e.bytes)));
    list.push_back(e);
  }
  return list;
}

Graph ReadMsr(const JsonAt& root) {
  GraphBuilder builder(root.file());
  builder.graph.devices_hint =
      static_cast<int32_t>(std::min<int64_t>(root.At("maxFPGAs").Bytes(), 1'000'000));
  if (root.Has("maxSizePerFPGA")) builder.graph.memory_hint = root.At("maxSizePerFPGA").Bytes();
  const JsonAt nodes = root.At("nodes");
  std::vector<Op> ops(nodes.ArraySize());
  std::unordered_map<int64_t, int32_t> op_of_id;
  for (size_t i = 0; i < ops.size(); ++i) {
    const JsonAt node = nodes.At(i);
    const int64_t id = node.At("id").Integer();
    if (!op_of_id.emplace(id, static_cast<int32_t>(i)).second)
      node.At("id").Fail(fmt::format("two nodes have the id {}", id));
    Op& op = ops[i];
    op.name = node.Has("name") ? node.At("name").Text() : fmt::format("node{}", id);
    op.us = node.At("fpgaLatency").Number() * 1000;
    op.perm = static_cast<int64_t>(std::ceil(node.At("size").Number()));
    if (node.Has("colorClass"))
      op.groups.push_back(fmt::format("color {}", node.At("colorClass").Integer()));
  }
  const std::vector<MsrEdge> edges = ReadMsrEdges(root.At("edges"), op_of_id, ops);
  for (size_t i = 0; i < ops.size(); ++i)
    builder.AddOp(std::move(ops[i]), fmt::format("nodes[{}]", i));
  for (size_t i = 0; i < edges.size(); ++i) {
    const MsrEdge& e = edges[i];
    builder.AddUse(e.src, e.dst, fmt::format("{}:{}", builder.graph.ops[e.src].name, e.port),
                   e.bytes, e.ms * 1000, fmt::format("edges[{}]", i));
  }
  return builder.Build();
}

}  // namespace

Graph ParseGraph(std::string_view text, const std::string& where) {
  const Json json = io::ParseJson(text, where);
  const JsonAt root(json, where);
  if (root.Has("maxFPGAs")) return ReadMsr(root);
  if (!root.Has("format") || !root.At("format").value().is_string() ||
      root.At("format").Text() != "baechi-graph") {
    throw DataError("not a graph file", where,
                    "a graph has \"format\": \"baechi-graph\", or the keys maxFPGAs, nodes, edges");
  }
  return ReadOwn(root);
}

std::string GraphToJson(const Graph& graph) {
  using Ordered = nlohmann::ordered_json;
  Ordered meta = {{"time_unit", "us"}};
  if (!graph.name.empty()) meta["model"] = graph.name;
  if (!graph.cost_source.empty()) meta["source"] = graph.cost_source;
  meta["persistent_memory"] =
      graph.persistent_memory == PersistentMemory::kSeparate ? "separate" : "in-outputs";
  std::string text = "{\"format\":\"baechi-graph\",\"version\":1,\"meta\":" + meta.dump();
  text += ",\n\"ops\":[";
  for (int32_t i = 0; i < graph.size(); ++i) {
    const Op& op = graph.ops[i];
    Ordered json = {{"name", op.name}, {"op", op.type}, {"us", op.us}};
    if (!op.us_on.empty()) json["us_on"] = op.us_on;
    if (op.bwd_us) json["bwd_us"] = *op.bwd_us;
    if (op.update_us) json["update_us"] = *op.update_us;
    json["perm"] = op.perm;
    if (op.perm_is_output) json["perm_is_output"] = true;
    json["temp"] = op.temp;
    json["out"] = op.out;
    if (!op.saved.empty()) {
      json["saved"] = Ordered::array();
      for (uint8_t saved : op.saved) json["saved"].push_back(saved != 0);
    }
    if (!op.groups.empty()) json["groups"] = op.groups;
    if (op.expert >= 0) json["expert"] = op.expert;
    text += (i ? ",\n" : "\n") + json.dump();
  }
  text += "\n],\n\"edges\":[";
  bool first = true;
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e))) {
      Ordered json = {{"src", graph.ops[graph.edges[e].src].name},
                      {"dst", graph.ops[graph.edges[e].dst].name},
                      {"tensor", graph.tensor_names[t]},
                      {"bytes", graph.tensors[t].bytes}};
      if (graph.tensors[t].us >= 0) json["us"] = graph.tensors[t].us;
      text += (first ? "\n" : ",\n") + json.dump();
      first = false;
    }
  }
  return text + "\n]}\n";
}

}  // namespace orchard::place
