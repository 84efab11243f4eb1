#include "place/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/version.h"
#include "io/json_file.h"
#include "io/printable.h"
#include "place/json_fields.h"
#include "place/training_options.h"

namespace orchard::place {
namespace {

using Json = nlohmann::ordered_json;

std::string Quote(const std::string& text) { return nlohmann::json(text).dump(); }

// Members of a JSON object or array, one a line. Written as text: an ordered JSON object looks for
// every key among all that it has.
class Lines {
 public:
  void Add(const std::string& line) {
    text_ += text_.empty() ? "\n  " : ",\n  ";
    text_ += line;
  }
  std::string Object() const { return "{" + text_ + "\n }"; }
  std::string Array() const { return "[" + text_ + "\n ]"; }

 private:
  std::string text_;
};

std::string Transfers(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  Lines lines;
  for (const Transfer& transfer : schedule.transfers) {
    lines.Add(Json({{"tensor", graph.tensor_names[transfer.tensor]},
                    {"bytes", graph.tensors[transfer.tensor].bytes},
                    {"src", cluster.devices[transfer.src].name},
                    {"dst", cluster.devices[transfer.dst].name},
                    {"start_us", ToMicroseconds(transfer.start)},
                    {"end_us", ToMicroseconds(transfer.end)}})
                  .dump());
  }
  return lines.Array();
}

std::string FavouriteNames(const Graph& graph, const Member& best) {
  Lines lines;
  for (int32_t i = 0; i < static_cast<int32_t>(best.favourite.size()); ++i) {
    if (best.favourite[i] < 0) continue;
    lines.Add(Quote(graph.ops[i].name) + ": " + Quote(graph.ops[best.favourite[i]].name));
  }
  return lines.Object();
}

std::string Assignment(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  Lines lines;
  const std::vector<int32_t> device =
      graph.step ? LowerToForward(*graph.step, schedule.device) : schedule.device;
  const std::vector<Op>& ops = graph.step ? graph.step->forward.ops : graph.ops;
  for (size_t i = 0; i < ops.size(); ++i)
    lines.Add(Quote(ops[i].name) + ": " + Quote(cluster.devices[device[i]].name));
  return lines.Object();
}

std::string Order(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  Lines devices;
  for (int32_t d = 0; d < cluster.size(); ++d) {
    Lines names;
    for (int32_t i : schedule.order[d]) names.Add(Quote(graph.ops[i].name));
    devices.Add(Quote(cluster.devices[d].name) + ": " + names.Array());
  }
  return devices.Object();
}

std::string Times(const Graph& graph, const Schedule& schedule) {
  Lines lines;
  for (int32_t i = 0; i < graph.size(); ++i) {
    lines.Add(fmt::format("{}: [{}, {}]", Quote(graph.ops[i].name),
                          ToMicroseconds(schedule.start[i]), ToMicroseconds(schedule.end[i])));
  }
  return lines.Object();
}

// What lives on the host, and when it comes.
std::string OffloadToJson(const Graph& graph, const Cluster& cluster, const HostPlan& plan) {
  Lines names, devices;
  for (int32_t i = 0; i < graph.size(); ++i) {
    if (plan.offloaded[i]) names.Add(Quote(graph.ops[i].name));
  }
  for (int32_t d = 0; d < cluster.size(); ++d) {
    Lines fetches;
    for (const Fetch& fetch : plan.fetches[d]) {
      Json json = {{"operator", graph.ops[fetch.op].name}, {"readers", Json::array()}};
      for (int32_t i : fetch.readers) json["readers"].push_back(graph.ops[i].name);
      if (fetch.after >= 0) json["after"] = graph.ops[fetch.after].name;
      fetches.Add(json.dump());
    }
    devices.Add(Quote(cluster.devices[d].name) + ": " + fetches.Array());
  }
  return "{\n \"operators\": " + names.Array() + ",\n \"fetches\": " + devices.Object() + "\n }";
}

std::string HostTransfers(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  Lines lines;
  const auto add = [&](const char* what, int32_t op, int32_t device, int64_t bytes, Time start,
                       Time end) {
    lines.Add(Json({{what, graph.ops[op].name},
                    {"device", cluster.devices[device].name},
                    {"bytes", bytes},
                    {"start_us", ToMicroseconds(start)},
                    {"end_us", ToMicroseconds(end)}})
                  .dump());
  };
  for (int32_t d = 0; d < cluster.size(); ++d) {
    for (size_t k = 0; k < schedule.fetches[d].size(); ++k) {
      const int32_t op = schedule.host->fetches[d][k].op;
      const Span& span = schedule.fetches[d][k];
      add("parameters", op, d, graph.ops[op].perm, span.start, span.end);
    }
  }
  for (const WriteBack& gradient : schedule.write_backs) {
    add("gradient", gradient.update, gradient.device,
        schedule.host->gradient_bytes[gradient.update], gradient.start, gradient.end);
  }
  return lines.Array();
}

Json StepToJson(const StepOrigin& origin, const std::string& pipeline) {
  const StepOptions& step = origin.options;
  Json json = {{"microbatches", step.microbatches},
               {"optimizer", kOptimizerNames[static_cast<int>(step.optimizer)].name},
               {"launch_us", step.launch_us},
               {"bandwidth_gb_per_s", step.bandwidth_gb_per_s}};
  if (step.backward_ratio) json["backward_ratio"] = *step.backward_ratio;
  if (!pipeline.empty()) json["schedule"] = pipeline;
  for (const auto& segment : step.recompute) {
    Json names = Json::array();
    for (int32_t i : segment) names.push_back(origin.forward.ops[i].name);
    json["recompute"].push_back(names);
  }
  return json;
}

}  // namespace

std::string PlacementToJson(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                            const PlaceResult& result, uint64_t seed) {
  const Schedule& schedule = result.best.result.schedule;
  const double makespan = static_cast<double>(schedule.makespan);
  const auto bound = static_cast<double>(result.bound.value());
  Json json = {{"format", "baechi-placement"},
               {"version", 1},
               {"orchard", BuildVersions().orchard},
               {"graph", GraphHash(graph.step ? graph.step->forward : graph)},
               {"algorithm", result.best.name},
               {"seed", seed},
               {"comm", Name(cluster.comm)},
               {"makespan_us", ToMicroseconds(schedule.makespan)},
               {"lower_bound_us", ToMicroseconds(result.bound.value())},
               {"gap", makespan > 0 ? (makespan - bound) / makespan : 0},
               {"seconds", result.seconds},
               {"status", result.interrupted ? "interrupted" : "done"}};
  if (result.best.published_makespan >= 0) {
    json["compat"] = kCompatNames[static_cast<int>(options.compat)].name;
    json["published_makespan_us"] = ToMicroseconds(result.best.published_makespan);
  }
  if (graph.step) json["step"] = StepToJson(*graph.step, result.best.pipeline);
  json["devices"] = Json::array();
  for (int32_t d = 0; d < cluster.size(); ++d) {
    const Device& device = cluster.devices[d];
    Json entry = {{"name", device.name}, {"peak_bytes", result.best.result.memory.peak[d]}};
    if (device.memory < INT64_MAX) entry["memory"] = device.memory;
    json["devices"].push_back(entry);
  }
  if (result.best.lp_objective_us >= 0)
    json["lp"] = {{"objective_us", result.best.lp_objective_us},
                  {"bound_us", result.best.lp_bound_us}};
  std::string text = json.dump(1);
  text.resize(text.rfind('\n'));
  if (!result.best.favourite.empty())
    text += ",\n \"favourites\": " + FavouriteNames(graph, result.best);
  text += ",\n \"assign\": " + Assignment(graph, cluster, schedule);
  text += ",\n \"order\": " + Order(graph, cluster, schedule);
  text += ",\n \"start_end_us\": " + Times(graph, schedule);
  text += ",\n \"transfers\": " + Transfers(graph, cluster, schedule);
  if (schedule.host) {
    text += ",\n \"offload\": " + OffloadToJson(graph, cluster, *schedule.host);
    text += ",\n \"host_transfers\": " + HostTransfers(graph, cluster, schedule);
  }
  return text + "\n}\n";
}

namespace {

class PlacementReader {
 public:
  PlacementReader(const Graph& graph, const Cluster& cluster) : graph_(graph), cluster_(cluster) {
    for (int32_t d = 0; d < cluster.size(); ++d) device_of_[cluster.devices[d].name] = d;
    for (int32_t i = 0; i < graph.size(); ++i) op_of_[graph.ops[i].name] = i;
    if (!graph.step) return;
    for (int32_t i = 0; i < forward().size(); ++i) forward_of_[forward().ops[i].name] = i;
  }

  Placement Read(const JsonAt& root, bool check_hash) {
    Placement placement;
    part_of_step_ = root.Has("step") && !graph_.step;
    if (root.Has("graph")) {
      placement.graph_hash = root.At("graph").Text();
      if (check_hash && placement.graph_hash != GraphHash(forward()))
        root.At("graph").Fail("the placement belongs to another graph");
    }
    ReadAssign(root.At("assign"), placement);
    if (root.Has("offload")) ReadOffload(root.At("offload"), placement);
    if (root.Has("order")) ReadOrder(root.At("order"), placement);
    if (placement.host && placement.order.empty())
      root.At("offload").Fail("parameters on the host need the operators' order");
    return placement;
  }

 private:
  // Whose operators the file assigns.
  const Graph& forward() const { return graph_.step ? graph_.step->forward : graph_; }
  const std::unordered_map<std::string, int32_t>& assigned() const {
    return graph_.step ? forward_of_ : op_of_;
  }

  static int32_t Find(const std::unordered_map<std::string, int32_t>& names, const JsonAt& at,
                      const std::string& name) {
    const auto found = names.find(name);
    if (found == names.end()) at.Fail("the graph has no operator " + io::Quoted(name));
    return found->second;
  }

  int32_t Device(const JsonAt& at) const {
    if (at.value().is_string()) {
      const auto found = device_of_.find(at.Text());
      if (found == device_of_.end()) at.Fail("there is no device " + io::Quoted(at.Text()));
      return found->second;
    }
    const int64_t number = at.Integer();
    if (number < 0 || number >= cluster_.size())
      at.Fail(fmt::format("there is no device {} (there are {})", number, cluster_.size()));
    return static_cast<int32_t>(number);
  }

  void ReadAssign(const JsonAt& assign, Placement& placement) const {
    if (!assign.value().is_object()) assign.Fail("an object is expected");
    std::vector<int32_t> device(forward().size(), -1);
    for (const auto& [name, value] : assign.value().items()) {
      const JsonAt at(value, assign.file(), assign.path() + "." + io::Printable(name, 80));
      device[Find(assigned(), at, name)] = Device(at);
    }
    for (int32_t i = 0; i < forward().size(); ++i) {
      if (device[i] < 0)
        assign.Fail("the operator " + io::Quoted(forward().ops[i].name) + " has no device");
    }
    placement.device = graph_.step ? LiftToStep(*graph_.step, device) : std::move(device);
  }

  // The entry of a list of names.
  int32_t Operator(const JsonAt& at) const { return Find(op_of_, at, at.Text()); }

  void ReadOffload(const JsonAt& offload, Placement& placement) const {
    const JsonAt names = offload.At("operators");
    placement.offloaded = static_cast<int32_t>(names.ArraySize());
    if (part_of_step_) return;
    std::vector<int32_t> ops;
    for (size_t k = 0; k < names.ArraySize(); ++k) ops.push_back(Operator(names.At(k)));
    HostPlan plan = KeepOnHost(graph_, cluster_, ops);
    const JsonAt fetches = offload.At("fetches");
    if (!fetches.value().is_object()) fetches.Fail("an object is expected");
    for (const auto& [name, value] : fetches.value().items()) {
      const JsonAt list(value, fetches.file(), fetches.path() + "." + io::Printable(name, 80));
      const auto device = device_of_.find(name);
      if (device == device_of_.end()) list.Fail("there is no device " + io::Quoted(name));
      for (size_t k = 0; k < list.ArraySize(); ++k) {
        const JsonAt at = list.At(k);
        Fetch fetch{.op = Operator(at.At("operator"))};
        for (size_t r = 0; r < at.At("readers").ArraySize(); ++r)
          fetch.readers.push_back(Operator(at.At("readers").At(r)));
        if (at.Has("after")) fetch.after = Operator(at.At("after"));
        plan.fetches[device->second].push_back(std::move(fetch));
      }
    }
    const std::string flaw = FlawOf(plan, graph_, placement.device);
    if (!flaw.empty()) fetches.Fail(flaw);
    placement.host = std::make_shared<const HostPlan>(std::move(plan));
  }

  void ReadOrder(const JsonAt& order, Placement& placement) const {
    if (!order.value().is_object()) order.Fail("an object is expected");
    std::vector<uint8_t> seen(graph_.size(), 0);
    for (const auto& [name, value] : order.value().items()) {
      const JsonAt list(value, order.file(), order.path() + "." + io::Printable(name, 80));
      const auto device = device_of_.find(name);
      if (device == device_of_.end()) list.Fail("there is no device " + io::Quoted(name));
      for (size_t k = 0; k < list.ArraySize(); ++k) {
        const JsonAt at = list.At(k);
        if (part_of_step_ && !op_of_.contains(at.Text())) continue;
        const int32_t op = Find(op_of_, at, at.Text());
        if (placement.device[op] != device->second) at.Fail("the operator is on another device");
        if (seen[op]++) at.Fail("the operator stands twice in the order");
        if (placement.host && placement.host->on_host[op]) at.Fail("the host runs this operator");
        placement.order.push_back(op);
      }
    }
    size_t expected = static_cast<size_t>(graph_.size());
    if (placement.host) {
      const auto& on_host = placement.host->on_host;
      expected -= static_cast<size_t>(std::count(on_host.begin(), on_host.end(), 1));
    }
    if (placement.order.size() < expected)
      order.Fail(fmt::format("{} operators are missing", expected - placement.order.size()));
  }

  const Graph& graph_;
  const Cluster& cluster_;
  std::unordered_map<std::string, int32_t> op_of_, forward_of_;
  bool part_of_step_ = false;  // the file is of a step, the graph its forward one
  std::map<std::string, int32_t> device_of_;
};

template <class E, size_t n>
E ReadName(const JsonAt& at, const cli::EnumName<E> (&names)[n]) {
  for (const auto& [name, value] : names) {
    if (at.Text() == name) return value;
  }
  at.Fail(io::Quoted(at.Text()) + " is not known");
}

double ReadBetween(const JsonAt& at, double low, double high) {
  const double value = at.Number();
  if (!(value >= low && value <= high)) at.Fail(fmt::format("not between {} and {}", low, high));
  return value;
}

StepOptions ReadStep(const JsonAt& at, const Graph& forward) {
  StepOptions step;
  step.microbatches = static_cast<int32_t>(ReadBetween(at.At("microbatches"), 1, 1024));
  step.optimizer = ReadName(at.At("optimizer"), kOptimizerNames);
  step.launch_us = ReadBetween(at.At("launch_us"), 0, 1e12);
  step.bandwidth_gb_per_s = ReadBetween(at.At("bandwidth_gb_per_s"), 1e-6, 1e12);
  if (at.Has("backward_ratio")) step.backward_ratio = ReadBetween(at.At("backward_ratio"), 0, 100);
  if (!at.Has("recompute")) return step;
  std::unordered_map<std::string, int32_t> op_of;
  for (int32_t i = 0; i < forward.size(); ++i) op_of[forward.ops[i].name] = i;
  const JsonAt segments = at.At("recompute");
  for (size_t s = 0; s < segments.ArraySize(); ++s) {
    step.recompute.emplace_back();
    for (size_t k = 0; k < segments.At(s).ArraySize(); ++k) {
      const JsonAt name = segments.At(s).At(k);
      const auto found = op_of.find(name.Text());
      if (found == op_of.end()) name.Fail("the graph has no operator " + io::Quoted(name.Text()));
      step.recompute.back().push_back(found->second);
    }
  }
  return step;
}

}  // namespace

std::optional<StepOptions> ReadStepOptions(const std::filesystem::path& path,
                                           const Graph& forward) {
  const nlohmann::json json = io::ReadJsonFile(path);
  const JsonAt root(json, path.string());
  if (!root.Has("step")) return std::nullopt;
  return ReadStep(root.At("step"), forward);
}

Placement ReadPlacement(const std::filesystem::path& path, const Graph& graph,
                        const Cluster& cluster, bool check_hash) {
  const nlohmann::json json = io::ReadJsonFile(path);
  return PlacementReader(graph, cluster).Read(JsonAt(json, path.string()), check_hash);
}

Evaluated ReplayPlacement(const Problem& problem, const Placement& placement,
                          const std::filesystem::path& file) {
  Simulator simulator(problem.ops, problem.cluster);
  const Dispatch dispatch = placement.order.empty() ? Dispatch::kFifo : Dispatch::kOrder;
  const Time makespan = placement.host ? simulator.RunWithHost(placement.device, placement.order,
                                                               problem.graph, placement.host)
                                       : simulator.Run(placement.device, dispatch, placement.order);
  if (makespan == kNever) {
    throw DataError("the order waits for itself", file.string() + ": order",
                    placement.host ? "an operator stands before one that it needs, or a fetch "
                                     "waits for an operator behind its readers"
                                   : "an operator stands before one that it needs");
  }
  Evaluated result;
  result.schedule = simulator.Result();
  result.memory = ReplayMemory(problem.sizes, problem.ops, result.schedule, problem.cluster.size());
  result.excess = Excess(result.memory.peak, problem.cluster);
  return result;
}

}  // namespace orchard::place
