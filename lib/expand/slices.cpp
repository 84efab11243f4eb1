#include "expand/slices.h"

#include <yaml-cpp/yaml.h>

#include <cmath>
#include <string>

#include "base/error.h"

namespace orchard::expand {
namespace {

std::string At(const std::filesystem::path& path, const YAML::Mark& mark) {
  return mark.is_null() ? path.string() : path.string() + ":" + std::to_string(mark.line + 1);
}

[[noreturn]] void Fail(const std::filesystem::path& path, const YAML::Node& node,
                       const std::string& what) {
  throw DataError(what, At(path, node ? node.Mark() : YAML::Mark::null_mark()));
}

double ReadScale(const std::filesystem::path& path, const YAML::Node& node) {
  const double value = node.as<double>();
  if (!std::isfinite(value)) Fail(path, node, "a scale is a finite number");
  return value;
}

// `scale` is a number, or a list in which the first entry whose filter fits wins.
double ScaleFor(const std::filesystem::path& path, const YAML::Node& scale,
                const std::string& tensor) {
  if (!scale) return 1;
  if (scale.IsScalar()) return ReadScale(path, scale);
  for (const YAML::Node& entry : scale) {
    const YAML::Node filter = entry["filter"];
    if (!filter || tensor.find(filter.as<std::string>()) != std::string::npos)
      return ReadScale(path, entry["value"]);
  }
  return 1;
}

void ReadRange(const std::filesystem::path& path, const YAML::Node& entry, int64_t source,
               std::vector<LayerPlan>& layers) {
  const YAML::Node range = entry["layer_range"];
  if (!range || !range.IsSequence() || range.size() != 2)
    Fail(path, entry, "a source needs layer_range: [first, end]");
  const int64_t first = range[0].as<int64_t>(), end = range[1].as<int64_t>();
  if (first < 0 || end > source || first >= end) {
    Fail(path, range,
         "layer_range [" + std::to_string(first) + ", " + std::to_string(end) +
             "] of a model with " + std::to_string(source) + " layers");
  }
  const YAML::Node scale =
      entry["parameters"] ? entry["parameters"]["scale"] : YAML::Node(YAML::NodeType::Undefined);
  for (int64_t i = first; i < end; ++i) {
    layers.push_back({i, false, ScaleFor(path, scale, "self_attn.o_proj"),
                      ScaleFor(path, scale, "mlp.down_proj")});
  }
}

}  // namespace

std::vector<LayerPlan> ReadSlices(const std::filesystem::path& path, int64_t source) {
  if (path.empty()) throw UsageError("--method slices needs --slices FILE");
  std::vector<LayerPlan> layers;
  try {
    const YAML::Node file = YAML::LoadFile(path.string());
    if (!file.IsMap() || !file["slices"] || !file["slices"].IsSequence())
      Fail(path, file, "there is no list `slices`");
    for (const YAML::Node& slice : file["slices"]) {
      const YAML::Node sources =
          slice.IsMap() ? slice["sources"] : YAML::Node(YAML::NodeType::Undefined);
      if (!sources || !sources.IsSequence() || sources.size() != 1)
        Fail(path, slice, "a slice needs one source");
      ReadRange(path, sources[0], source, layers);
    }
  } catch (const YAML::BadFile&) {
    throw DataError("cannot open the slices", path.string());
  } catch (const YAML::Exception& e) {
    throw DataError(e.msg, At(path, e.mark));
  }
  if (layers.empty()) throw DataError("no layers", path.string());
  return layers;
}

}  // namespace orchard::expand
