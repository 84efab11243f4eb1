#include "place/onnx/export_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <protozero/pbf_writer.hpp>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "place/onnx/inference.h"
#include "place/onnx/node_devices.h"
#include "place/onnx/part_file.h"
#include "place/segments.h"

namespace orchard::place::onnx {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

class PartsExport {
 public:
  PartsExport(const Model& model, const Graph& graph, const Cluster& cluster,
              const std::vector<int32_t>& device, const ImportOptions& options)
      : model_(model),
        cluster_(cluster),
        options_(options),
        nodes_(FindNodeDevices(model, graph, device)) {
    for (const TensorInfo& tensor : model.graph.initializers) weights_[tensor.name] = &tensor;
    for (const auto* list : {&model.graph.values, &model.graph.outputs, &model.graph.inputs}) {
      for (const ValueInfo& info : *list) types_[info.name] = &info;
    }
    Cut();
    for (int32_t k = 0; k < Parts(); ++k) Collect(k);
    FindTransfers();
  }

  PartsReport Write(const fs::path& model_path, const fs::path& directory) {
    PartsReport report{.parts = Parts(), .least_parts = cut_.least};
    report.shared_weights = static_cast<int32_t>(std::count_if(
        weight_parts_.begin(), weight_parts_.end(), [](const auto& w) { return w.second > 1; }));
    PartWriter writer(model_, model_path.parent_path());
    for (int32_t k = 0; k < Parts(); ++k) report.bytes += writer.Write(parts_[k], k, directory);
    const std::string manifest = Manifest(model_path.filename().string());
    report.bytes += manifest.size();
    WriteFileAtomically(directory / "manifest.json", manifest);
    return report;
  }

 private:
  int32_t Parts() const { return static_cast<int32_t>(cut_.device.size()); }

  // Segments of the nodes that have a device of their own.
  void Cut() {
    std::vector<int32_t> compact(nodes_.device.size(), -1), device;
    std::vector<int32_t> placed;
    for (int32_t i : nodes_.order) {
      if (nodes_.device[i] < 0) continue;
      compact[i] = static_cast<int32_t>(placed.size());
      placed.push_back(i);
      device.push_back(nodes_.device[i]);
    }
    if (placed.empty()) throw DataError("the model computes nothing", model_.source.name);
    std::vector<std::vector<int32_t>> successors(placed.size());
    for (int32_t i : placed) {
      for (std::string_view name : ValuesRead(model_.graph.nodes[i])) {
        const auto made = nodes_.producer.find(name);
        if (made != nodes_.producer.end() && compact[made->second] >= 0)
          successors[compact[made->second]].push_back(compact[i]);
      }
    }
    cut_ = CutIntoSegments(successors, device);
    segment_.assign(nodes_.device.size(), -1);
    parts_.resize(cut_.device.size());
    for (size_t k = 0; k < placed.size(); ++k) segment_[placed[k]] = cut_.segment[k];
  }

  // The nodes of part k with the constants that they read, in running order, and what comes from
  // outside.
  void Collect(int32_t k) {
    std::set<int32_t> wanted;  // constants, by node
    std::unordered_set<std::string_view> outside, weights;
    std::vector<int32_t> stack;
    const auto read = [&](int32_t i) {
      for (std::string_view name : ValuesRead(model_.graph.nodes[i])) {
        const auto made = nodes_.producer.find(name);
        if (made == nodes_.producer.end()) {
          if (weights_.contains(name))
            weights.insert(name);
          else
            outside.insert(name);
        } else if (segment_[made->second] < 0) {
          if (wanted.insert(made->second).second) stack.push_back(made->second);
        } else if (segment_[made->second] != k) {
          outside.insert(name);
        }
      }
    };
    // What the model puts out without computing it comes with the first part.
    const auto output = [&](std::string_view name) {
      const auto made = nodes_.producer.find(name);
      if (made == nodes_.producer.end()) {
        if (weights_.contains(name)) weights.insert(name);
      } else if (segment_[made->second] < 0 && wanted.insert(made->second).second) {
        stack.push_back(made->second);
      }
    };
    Part& part = parts_[k];
    for (int32_t i : nodes_.order) {
      if (segment_[i] == k) read(i);
    }
    if (k == 0) {
      for (const ValueInfo& info : model_.graph.outputs) output(info.name);
    }
    while (!stack.empty()) {
      const int32_t i = stack.back();
      stack.pop_back();
      read(i);
    }
    for (int32_t i : nodes_.order) {
      if (segment_[i] != k && !wanted.contains(i)) continue;
      part.nodes.push_back(&model_.graph.nodes[i]);
      for (std::string_view name : model_.graph.nodes[i].outputs) part.values.insert(name);
    }
    for (const TensorInfo& tensor : model_.graph.initializers) {
      if (!weights.contains(tensor.name)) continue;
      part.weights.push_back(&tensor);
      ++weight_parts_[tensor.name];
    }
    part.reads.assign(outside.begin(), outside.end());
    std::sort(part.reads.begin(), part.reads.end());
  }

  // Part that makes a value; -1: the model's input.
  int32_t MakerOf(std::string_view name) const {
    const auto made = nodes_.producer.find(name);
    if (made != nodes_.producer.end()) return std::max(0, segment_[made->second]);
    return weights_.contains(name) ? 0 : -1;
  }

  void FindTransfers() {
    std::vector<std::set<std::string_view>> makes(parts_.size());
    for (Part& part : parts_) {
      for (std::string_view name : part.reads) {
        part.inputs.push_back(TypeOf(name));
        if (const int32_t maker = MakerOf(name); maker >= 0) makes[maker].insert(name);
      }
    }
    for (const ValueInfo& info : model_.graph.outputs) {
      if (const int32_t maker = MakerOf(info.name); maker >= 0) makes[maker].insert(info.name);
    }
    for (size_t k = 0; k < parts_.size(); ++k) {
      for (std::string_view name : makes[k]) {
        parts_[k].makes.push_back(name);
        parts_[k].outputs.push_back(TypeOf(name));
      }
      for (const ValueInfo& info : model_.graph.values) {
        if (parts_[k].values.contains(info.name) && !makes[k].contains(info.name))
          parts_[k].inner.push_back(info.bytes);
      }
    }
  }

  // ValueInfoProto of a value between parts: the file's own, else its type with
  // open sizes, so that the part runs whatever sizes the graph was made for.
  std::string TypeOf(std::string_view name) {
    if (const auto found = types_.find(name);
        found != types_.end() && !found->second->bytes.empty()) {
      const ValueInfo& info = *found->second;
      if (!info.is_tensor || (info.element != kUndefined && info.has_shape))
        return std::string(info.bytes);
    }
    if (const auto weight = weights_.find(name); weight != weights_.end())
      return TensorValueInfo(name, weight->second->element, weight->second->dims.size());
    if (!inference_) {
      ImportReport report;
      inference_ = std::make_unique<Inference>(model_, options_, report);
    }
    const Value* value = inference_->Find(name);
    if (!value || value->element == kUndefined || !value->shape) {
      throw DataError(
          "the type of the value " + io::Quoted(name) + " between two parts is not known",
          model_.source.name, "run onnx.shape_inference on the model");
    }
    return TensorValueInfo(name, value->element, value->shape->size());
  }

  std::string Manifest(const std::string& file) const {
    Json json = {{"format", "baechi-onnx-parts"}, {"version", 1}, {"model", file}};
    json["devices"] = Json::array();
    for (const Device& device : cluster_.devices) json["devices"].push_back(device.name);
    json["inputs"] = Json::array();
    for (const ValueInfo& info : model_.graph.inputs) {
      if (!weights_.contains(info.name)) json["inputs"].push_back(std::string(info.name));
    }
    json["outputs"] = Json::array();
    for (const ValueInfo& info : model_.graph.outputs)
      json["outputs"].push_back({{"name", std::string(info.name)}, {"from", From(info.name)}});
    json["parts"] = Json::array();
    for (size_t k = 0; k < parts_.size(); ++k) {
      Json part = {{"file", PartFile(static_cast<int32_t>(k))},
                   {"device", cluster_.devices[cut_.device[k]].name},
                   {"nodes", parts_[k].nodes.size()}};
      std::set<int32_t> needs;
      part["inputs"] = Json::array();
      for (std::string_view name : parts_[k].reads) {
        part["inputs"].push_back({{"name", std::string(name)}, {"from", From(name)}});
        if (const int32_t maker = MakerOf(name); maker >= 0) needs.insert(maker);
      }
      part["outputs"] = Json::array();
      for (std::string_view name : parts_[k].makes) part["outputs"].push_back(std::string(name));
      part["needs"] = needs;
      json["parts"].push_back(part);
    }
    return json.dump(1) + "\n";
  }

  Json From(std::string_view name) const {
    const int32_t maker = MakerOf(name);
    return maker < 0 ? Json("input") : Json(maker);
  }

  const Model& model_;
  const Cluster& cluster_;
  const ImportOptions& options_;
  NodeDevices nodes_;
  Segments cut_;
  std::vector<int32_t> segment_;  // of every node; -1: a constant, which goes with its readers
  std::vector<Part> parts_;
  std::unordered_map<std::string_view, const TensorInfo*> weights_;
  std::unordered_map<std::string_view, const ValueInfo*> types_;
  std::unordered_map<std::string_view, int32_t> weight_parts_;
  std::unique_ptr<Inference> inference_;
};

}  // namespace

PartsReport ExportParts(const fs::path& path, const Graph& graph, const Cluster& cluster,
                        const std::vector<int32_t>& device, const ImportOptions& options,
                        const fs::path& directory) {
  const io::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  const auto model = ParseModel(bytes, path.string());
  PartsExport parts(*model, graph, cluster, device, options);
  // Under another name until all is there. Only what an earlier export left is ever replaced.
  fs::path target = directory;
  if (target.filename().empty()) target = target.parent_path();
  if (fs::exists(target) && !fs::is_regular_file(target / "manifest.json"))
    throw UsageError("is there and no directory of ONNX parts", target.string());
  fs::path partial = target;
  partial += ".partial";
  std::error_code error;
  fs::remove_all(partial, error);
  if (!fs::create_directories(partial, error)) {
    throw ResourceError("cannot make the directory (" + error.message() + ")", partial.string());
  }
  try {
    const PartsReport report = parts.Write(path, partial);
    fs::remove_all(target);
    fs::rename(partial, target);
    return report;
  } catch (const fs::filesystem_error& failure) {
    fs::remove_all(partial, error);
    throw ResourceError("cannot rename the finished directory (" + failure.code().message() + ")",
                        target.string());
  } catch (...) {
    fs::remove_all(partial, error);
    throw;
  }
}

}  // namespace orchard::place::onnx
