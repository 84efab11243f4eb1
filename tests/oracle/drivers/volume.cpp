// orchard-volume WHAT CONFIG.json IN OUT: functions of lib/volume on raw arrays, for the oracles in
// Python. Arrays have i fastest (Fortran order of [I, J, K]).
//
//   distances   {"size", "spacing", "border"}                 int32 labels -> float64 squared
//   components  {"size", "connectivity"}                      int32 labels -> int32 ids
//   resize      {"size", "to", "order": [i, j, k] of 0, 1, 3}  float32 -> float32
//   labels      {"size", "to", "order"}                       uint16 -> uint16
//   export      {"size", "to", "classes"}                     float32 logits [classes, size] ->
//   uint16 metrics     {"size", "spacing", "surface", "compat", "tolerances"}  uint16 prediction,
//   uint16
//               reference, compared for label 1 -> JSON
//   wilcoxon    {}                                            float64 differences -> JSON
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "segment/statistics.h"
#include "volume/components.h"
#include "volume/distance.h"
#include "volume/label_export.h"
#include "volume/metrics.h"
#include "volume/resize.h"

namespace orchard::volume {
namespace {

using nlohmann::json;

template <class T>
std::vector<T> ReadArray(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<T> values(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

template <class T>
void WriteArray(const char* path, const std::vector<T>& values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
}

Interpolation3 Order(const json& config) {
  Interpolation3 order;
  for (size_t a = 0; a < 3; ++a) {
    const int n = config["order"][a];
    order[a] = n == 0   ? Interpolation::kNearest
               : n == 1 ? Interpolation::kLinear
                        : Interpolation::kCubic;
  }
  return order;
}

json Number(double value) {
  return std::isnan(value) ? json("nan") : std::isinf(value) ? json("inf") : json(value);
}

void CompareMasks(const json& config, const char* in, ThreadPool& pool) {
  std::vector<uint16_t> both = ReadArray<uint16_t>(in);
  const size_t half = both.size() / 2;
  const std::span<const uint16_t> all(both);
  MetricOptions options;
  options.surface = config["surface"] == "voxel" ? SurfaceKind::kVoxel : SurfaceKind::kSurfel;
  options.compatibility = config["compat"] == "deepmind" ? Compatibility::kDeepmind
                          : config["compat"] == "medpy"  ? Compatibility::kMedpy
                                                         : Compatibility::kNone;
  options.tolerances = config["tolerances"].get<std::vector<double>>();
  const Region region{"1", {1}};
  const Metrics m =
      CompareLabels(all.first(half), all.last(half), config["size"].get<Size3>(),
                    config["spacing"].get<Spacing3>(), std::span(&region, 1), options, pool)[0];
  json nsd = json::array();
  for (double value : m.nsd) nsd.push_back(Number(value));
  const json result = {{"Dice", Number(m.dice)},
                       {"HD", Number(m.hd)},
                       {"HD95", Number(m.hd95)},
                       {"HD95Pooled", Number(m.hd95_pooled)},
                       {"ASSD", Number(m.assd)},
                       {"MASD", Number(m.masd)},
                       {"NSD", nsd},
                       {"IoU", Number(m.iou)}};
  fmt::print("{}\n", result.dump());
}

int Main(char** argv) {
  const std::string what = argv[1];
  std::ifstream file(argv[2]);
  const json config = json::parse(file);
  const char *in = argv[3], *out = argv[4];
  ThreadPool pool(2);
  if (what == "metrics") {
    CompareMasks(config, in, pool);
    return 0;
  }
  if (what == "wilcoxon") {
    fmt::print("{}\n", json(segment::WilcoxonP(ReadArray<double>(in))).dump());
    return 0;
  }
  const auto size = config["size"].get<Size3>();
  if (what == "distances") {
    const std::vector<int32_t> labels = ReadArray<int32_t>(in);
    std::vector<double> squared(labels.size());
    SquaredDistances<int32_t, double>({.size = size,
                                       .spacing = config["spacing"].get<Spacing3>(),
                                       .border = config["border"],
                                       .labels = labels.data(),
                                       .squared = squared.data()},
                                      pool);
    WriteArray(out, squared);
  } else if (what == "components") {
    const std::vector<int32_t> labels = ReadArray<int32_t>(in);
    WriteArray(out,
               FindComponents(std::span<const int32_t>(labels), size,
                              static_cast<Connectivity>(config["connectivity"].get<int>()), pool)
                   .id);
  } else if (what == "resize") {
    WriteArray(out,
               Resize(ReadArray<float>(in), size, config["to"].get<Size3>(), Order(config), pool));
  } else if (what == "labels") {
    const std::vector<uint16_t> labels = ReadArray<uint16_t>(in);
    WriteArray(out, ResizeLabels(std::span<const uint16_t>(labels), size, config["to"].get<Size3>(),
                                 Order(config), pool));
  } else if (what == "export") {
    const std::vector<float> logits = ReadArray<float>(in);
    LabelExportArgs args{.classes = config["classes"], .size = config["to"].get<Size3>()};
    for (size_t a = 0; a < 3; ++a) args.axes[a] = StretchedAxis(size[a], args.size[a]);
    std::vector<uint16_t> labels(static_cast<size_t>(Voxels(args.size)));
    ExportLabels(args, logits.data(), labels.data(), pool);
    WriteArray(out, labels);
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace orchard::volume

int main(int argc, char** argv) { return argc == 5 ? orchard::volume::Main(argv) : 2; }
