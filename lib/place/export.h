// Placements in the formats of others.
#pragma once

#include <string>

#include "cli/fields.h"
#include "place/cluster.h"
#include "place/graph.h"
#include "place/schedule.h"

namespace orchard::place {

enum class ExportFormat {
  kDeviceMap,     // JSON {operator: device number}, as Hugging Face Accelerate takes for modules
  kTfDevices,     // operator, tab, /device:GPU:<number>
  kDot,           // Graphviz: one cluster per device, edges between devices labelled with bytes;
                  // dashed: parameters on the host
  kCsv,           // operator, device, start and end in microseconds; fetches of parameters, too
  kOnnxParts,     // a directory of ONNX models, one for each segment of one device
  kOnnxAnnotated  // the ONNX model with the device on every node
};
inline constexpr cli::EnumName<ExportFormat> kExportFormatNames[] = {
    {"device-map", ExportFormat::kDeviceMap},
    {"tf-devices", ExportFormat::kTfDevices},
    {"dot", ExportFormat::kDot},
    {"csv", ExportFormat::kCsv},
    {"onnx-parts", ExportFormat::kOnnxParts},
    {"onnx-annotated", ExportFormat::kOnnxAnnotated}};
constexpr auto EnumNames(ExportFormat) { return std::span(kExportFormatNames); }

// Throws UsageError where parameters of some operators live on the host.
void RefuseOffloaded(int32_t operators);

// `schedule` has one task per operator of the graph. Not for the two that need the model itself:
// those are in onnx/export_parts.h.
std::string ExportPlacement(const Graph& graph, const Cluster& cluster, const Schedule& schedule,
                            ExportFormat format);

}  // namespace orchard::place
