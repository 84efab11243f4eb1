#include "place/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "io/printable.h"
#include "io/text/unicode.h"
#include "place/topology.h"
#include "place/units.h"

namespace orchard::place {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 60;
constexpr double kMaxTotalUs = 1e15;  // 31 years: far below what 64-bit nanoseconds hold

void CheckTime(double us, const char* what, const std::string& where) {
  if (!std::isfinite(us)) throw DataError(fmt::format("{} is not a finite number", what), where);
  if (us < 0) throw DataError(fmt::format("{} is negative ({})", what, us), where);
  if (us > kMaxTotalUs) throw DataError(fmt::format("{} of {} us is too long", what, us), where);
}

void CheckBytes(int64_t bytes, const char* what, const std::string& where) {
  if (bytes < 0) throw DataError(fmt::format("{} is negative ({})", what, bytes), where);
  if (bytes > kMaxBytes)
    throw DataError(fmt::format("{} of {} bytes is too large", what, bytes), where);
}

// Graph files are UTF-8; models may hold any bytes.
void CheckText(std::string_view text, const char* what, const std::string& where) {
  if (!text::IsValidUtf8(text))
    throw DataError(fmt::format("{} is not UTF-8: {}", what, io::Quoted(text)), where);
}

// The port in "name:3"; -1 when the tensor is not named like one.
int32_t PortOf(const std::string& tensor, const std::string& producer) {
  if (tensor.size() <= producer.size() + 1 || tensor[producer.size()] != ':' ||
      tensor.compare(0, producer.size(), producer) != 0) {
    return -1;
  }
  int32_t port = -1;
  const char* end = tensor.data() + tensor.size();
  const auto result = std::from_chars(tensor.data() + producer.size() + 1, end, port);
  return result.ec == std::errc() && result.ptr == end ? port : -1;
}

}  // namespace

std::string GraphHash(const Graph& graph) {
  Sha256 hash;
  std::string text;
  const auto flush = [&] {
    hash.Update(std::as_bytes(std::span(text)));
    text.clear();
  };
  for (const Op& op : graph.ops) {
    fmt::format_to(std::back_inserter(text), "{}\n{} {} {} {}\n", op.name, op.us,
                   op.bwd_us.value_or(-1), op.perm, op.temp);
    for (int64_t bytes : op.out) fmt::format_to(std::back_inserter(text), "{} ", bytes);
    for (double us : op.us_on) fmt::format_to(std::back_inserter(text), "@{} ", us);
    if (op.perm_is_output) text += "=";
    if (op.update_us) fmt::format_to(std::back_inserter(text), "^{} ", *op.update_us);
    if (text.size() > 60000) flush();
  }
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    fmt::format_to(std::back_inserter(text), "{}>{}:", graph.edges[e].src, graph.edges[e].dst);
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e)))
      fmt::format_to(std::back_inserter(text), "{},{} ", graph.tensors[t].bytes,
                     graph.tensors[t].us);
    if (text.size() > 60000) flush();
  }
  flush();
  return hash.Hex();
}

std::string GraphBuilder::Where(const std::string& place) const { return source_ + ": " + place; }

int32_t GraphBuilder::AddOp(Op op, const std::string& place) {
  if (op.name.empty()) throw DataError("an operator without a name", Where(place));
  const std::string where = Where(fmt::format("{} ('{}')", place, io::Printable(op.name)));
  CheckText(op.name, "the name", Where(place));
  CheckText(op.type, "the type", where);
  for (const std::string& group : op.groups) CheckText(group, "a group", where);
  CheckTime(op.us, "the time", where);
  for (double us : op.us_on) CheckTime(us, "the time on a device", where);
  if (!graph.ops.empty() && op.us_on.size() != graph.ops[0].us_on.size())
    throw DataError("'us_on' has another length than the first operator's", where);
  if (op.bwd_us) CheckTime(*op.bwd_us, "the backward time", where);
  if (op.update_us) CheckTime(*op.update_us, "the update time", where);
  CheckBytes(op.perm, "perm", where);
  CheckBytes(op.temp, "temp", where);
  for (int64_t bytes : op.out) CheckBytes(bytes, "an output", where);
  if (!op.saved.empty() && op.saved.size() != op.out.size())
    throw DataError("'saved' and 'out' have different lengths", where);
  const auto index = static_cast<int32_t>(graph.ops.size());
  if (!op_of_.emplace(op.name, index).second)
    throw DataError("two operators have the same name", where);
  graph.ops.push_back(std::move(op));
  return index;
}

int32_t GraphBuilder::Find(std::string_view name, const std::string& place) const {
  const auto found = op_of_.find(std::string(name));
  if (found == op_of_.end()) {
    throw DataError(fmt::format("an edge names the unknown operator '{}'", io::Printable(name)),
                    Where(place));
  }
  return found->second;
}

void GraphBuilder::AddUse(int32_t src, int32_t dst, const std::string& tensor, double bytes,
                          double us, const std::string& place) {
  const Op& producer = graph.ops[src];
  const std::string edge = fmt::format("{} ('{}' -> '{}')", place, io::Printable(producer.name),
                                       io::Printable(graph.ops[dst].name));
  if (src == dst) {
    throw DataError(fmt::format("a cycle: '{0}' -> '{0}'", io::Printable(producer.name)),
                    Where(edge));
  }
  if (!std::isfinite(bytes) || bytes < 0 || bytes > static_cast<double>(kMaxBytes))
    throw DataError(fmt::format("{} is not a size in bytes", bytes), Where(edge));
  if (us != -1) CheckTime(us, "the cost", Where(edge));
  const auto whole = static_cast<int64_t>(std::ceil(bytes));
  const auto [entry, added] = tensor_of_.emplace(fmt::format("{}/{}", src, tensor),
                                                 static_cast<int32_t>(graph.tensors.size()));
  if (added) {
    CheckText(tensor, "the tensor", Where(edge));
    Tensor t{.producer = src, .bytes = whole, .us = us};
    t.control = !tensor.empty() && tensor[0] == '^';
    if (!t.control) t.port = PortOf(tensor, producer.name);
    if (t.port >= static_cast<int32_t>(producer.out.size())) {
      if (!producer.out.empty()) {
        throw DataError(
            fmt::format("'{}' has {} outputs, and no '{}'", io::Printable(producer.name),
                        producer.out.size(), io::Printable(tensor)),
            Where(edge));
      }
      t.port = -1;
    }
    if (t.port >= 0 && producer.out[t.port] != whole) {
      throw DataError(fmt::format("the tensor has {} bytes here and {} as an output", whole,
                                  producer.out[t.port]),
                      Where(edge));
    }
    graph.tensors.push_back(t);
    graph.tensor_names.push_back(tensor);
  } else if (const Tensor& t = graph.tensors[entry->second]; t.bytes != whole || t.us != us) {
    throw DataError(fmt::format("the tensor '{}' has another size or cost than on an earlier edge",
                                io::Printable(tensor)),
                    Where(edge));
  }
  uses_.push_back({src, dst, entry->second});
}

void GraphBuilder::SortEdges() {
  // Uses by producer, in the order in which the pair (producer, consumer) came first.
  std::unordered_map<uint64_t, int32_t> edge_of;
  edge_of.reserve(uses_.size());
  std::vector<Edge> edges;
  std::vector<std::vector<int32_t>> tensors;
  for (const Use& use : uses_) {
    const uint64_t key = static_cast<uint64_t>(use.src) << 32 | static_cast<uint32_t>(use.dst);
    const auto [entry, added] = edge_of.emplace(key, static_cast<int32_t>(edges.size()));
    if (added) {
      edges.push_back({use.src, use.dst});
      tensors.emplace_back();
    }
    auto& list = tensors[entry->second];
    if (std::find(list.begin(), list.end(), use.tensor) == list.end()) list.push_back(use.tensor);
  }
  std::vector<int32_t> order(edges.size());
  for (size_t e = 0; e < order.size(); ++e) order[e] = static_cast<int32_t>(e);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return edges[a].src < edges[b].src; });
  graph.edges.reserve(edges.size());
  graph.tensor_begin = {0};
  for (int32_t e : order) {
    graph.edges.push_back(edges[e]);
    graph.edge_tensors.insert(graph.edge_tensors.end(), tensors[e].begin(), tensors[e].end());
    graph.tensor_begin.push_back(static_cast<int32_t>(graph.edge_tensors.size()));
  }
  IndexEdges(graph.edges, graph.size(), graph.out_begin, graph.in_begin, graph.in_edges);
}

void GraphBuilder::CheckAcyclic() const {
  const std::vector<int32_t> cycle = FindCycle(graph.edges, graph.out_begin);
  if (cycle.empty()) return;
  std::string text;
  constexpr size_t kShown = 8;
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (i == kShown && cycle.size() > kShown + 1) {
      text += fmt::format("... ({} more) -> ", cycle.size() - kShown);
      break;
    }
    text += fmt::format("'{}' -> ", io::Printable(graph.ops[cycle[i]].name));
  }
  text += fmt::format("'{}'", io::Printable(graph.ops[cycle[0]].name));
  throw DataError("the graph has a cycle: " + text, source_);
}

void GraphBuilder::CheckSums() const {
  double us = 0, bytes = 0;
  for (const Op& op : graph.ops) {
    us += op.us + op.bwd_us.value_or(0) + op.update_us.value_or(0);
    bytes += static_cast<double>(op.perm) + static_cast<double>(op.temp);
    for (int64_t out : op.out) bytes += static_cast<double>(out);
  }
  for (const Tensor& tensor : graph.tensors) {
    us += std::max(tensor.us, 0.0);
    bytes += static_cast<double>(tensor.bytes);
  }
  if (us > kMaxTotalUs) throw DataError("the times add up to more than 31 years", source_);
  if (bytes > static_cast<double>(kMaxBytes))
    throw DataError("the sizes add up to more than 2^60 bytes", source_);
}

Graph GraphBuilder::Build() {
  if (graph.ops.empty()) throw DataError("the graph has no operators", source_);
  CheckText(graph.name, "the name of the graph", source_);
  CheckText(graph.cost_source, "the source of the times", source_);
  SortEdges();
  CheckAcyclic();
  CheckSums();
  return std::move(graph);
}

}  // namespace orchard::place
