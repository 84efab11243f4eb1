#include "place/export.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "place/host_plan.h"
#include "place/import/dot_graph.h"

namespace orchard::place {
namespace {

std::string DeviceMap(const Graph& graph, const Schedule& schedule) {
  std::string text = "{";
  for (int32_t i = 0; i < graph.size(); ++i) {
    text += fmt::format("{}\n {}: {}", i ? "," : "", nlohmann::json(graph.ops[i].name).dump(),
                        schedule.device[i]);
  }
  return text + "\n}\n";
}

std::string TfDevices(const Graph& graph, const Schedule& schedule) {
  std::string text;
  for (int32_t i = 0; i < graph.size(); ++i)
    text += fmt::format("{}\t/device:GPU:{}\n", graph.ops[i].name, schedule.device[i]);
  return text;
}

std::string Dot(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  std::string text = "digraph {\n" + DotConventions(graph) + "  node [shape=box];\n";
  for (int32_t i = 0; i < graph.size(); ++i) text += "  " + DotOperator(graph.ops[i]) + ";\n";
  for (int32_t i = 0; schedule.host && i < graph.size(); ++i) {
    if (schedule.host->offloaded[i])
      text += fmt::format("  {} [style=dashed, parameters=host];\n", DotQuoted(graph.ops[i].name));
  }
  for (int32_t d = 0; d < cluster.size(); ++d) {
    text += fmt::format("  subgraph cluster_{} {{\n    label={};\n", d,
                        DotQuoted(cluster.devices[d].name));
    for (int32_t i : schedule.order[d])
      text += fmt::format("    {};\n", DotQuoted(graph.ops[i].name));
    text += "  }\n";
  }
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    const Edge& edge = graph.edges[e];
    const bool crosses = schedule.device[edge.src] != schedule.device[edge.dst];
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e))) {
      const std::string look =
          crosses ? fmt::format("color=red, label=\"{} B\"", graph.tensors[t].bytes) : "";
      text += "  " + DotTensor(graph, edge, t, look) + ";\n";
    }
  }
  return text + "}\n";
}

// RFC 4180: a field with a comma, quote or line break is quoted.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string Csv(const Graph& graph, const Cluster& cluster, const Schedule& schedule) {
  std::string text = "operator,device,start_us,end_us\n";
  for (int32_t i = 0; i < graph.size(); ++i) {
    text += fmt::format("{},{},{},{}\n", CsvField(graph.ops[i].name),
                        CsvField(cluster.devices[schedule.device[i]].name),
                        ToMicroseconds(schedule.start[i]), ToMicroseconds(schedule.end[i]));
  }
  for (size_t d = 0; d < schedule.fetches.size(); ++d) {
    for (size_t k = 0; k < schedule.fetches[d].size(); ++k) {
      const Span& span = schedule.fetches[d][k];
      const std::string& name = graph.ops[schedule.host->fetches[d][k].op].name;
      text += fmt::format("{},{},{},{}\n", CsvField("parameters of " + name),
                          CsvField(cluster.devices[d].name), ToMicroseconds(span.start),
                          ToMicroseconds(span.end));
    }
  }
  return text;
}

}  // namespace

void RefuseOffloaded(int32_t operators) {
  if (operators == 0) return;
  throw UsageError(
      fmt::format("the placement keeps parameters of {} operators on the host, which this format "
                  "cannot say",
                  operators),
      "export", "place without --offload; dot and csv show those of one pass");
}

std::string ExportPlacement(const Graph& graph, const Cluster& cluster, const Schedule& schedule,
                            ExportFormat format) {
  if (schedule.host && format != ExportFormat::kDot && format != ExportFormat::kCsv)
    RefuseOffloaded(schedule.host->size());
  switch (format) {
    case ExportFormat::kDeviceMap:
      return DeviceMap(graph, schedule);
    case ExportFormat::kTfDevices:
      return TfDevices(graph, schedule);
    case ExportFormat::kDot:
      return Dot(graph, cluster, schedule);
    default:
      break;
  }
  return Csv(graph, cluster, schedule);
}

}  // namespace orchard::place
