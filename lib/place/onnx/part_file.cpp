#include "place/onnx/part_file.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <protozero/pbf_writer.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "place/import/byte_rope.h"

namespace orchard::place::onnx {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kAlignment = 4096;     // of external weights, so that a runtime can map them
constexpr int64_t kWeightsAreInputs = 4;  // before this IR version

// Weights from other files, written one after the other into the part's own.
class ExternalData {
 public:
  ExternalData(const Model& model, const fs::path& folder, fs::path path)
      : model_(model), folder_(folder), path_(std::move(path)) {}

  // The tensor with its new place.
  std::string Add(const TensorInfo& tensor) {
    if (!file_) file_.emplace(path_);
    const std::string_view values = Values(tensor);
    const uint64_t offset = (file_->written() + kAlignment - 1) / kAlignment * kAlignment;
    file_->Write(std::string(offset - file_->written(), '\0'));
    file_->Write(values);
    std::string message;
    protozero::pbf_writer writer(message);
    for (int64_t dim : tensor.dims) writer.add_int64(1, dim);
    writer.add_int32(2, tensor.element);
    writer.add_string(8, tensor.name.data(), tensor.name.size());
    AddEntry(writer, "location", path_.filename().string());
    AddEntry(writer, "offset", std::to_string(offset));
    AddEntry(writer, "length", std::to_string(values.size()));
    writer.add_enum(14, 1);
    return message;
  }

  uint64_t Finish() {
    if (!file_) return 0;
    file_->Commit();
    return file_->written();
  }

 private:
  static void AddEntry(protozero::pbf_writer& writer, const std::string& key,
                       const std::string& value) {
    std::string entry;
    protozero::pbf_writer fields(entry);
    fields.add_string(1, key);
    fields.add_string(2, value);
    writer.add_string(13, entry);
  }

  std::string_view Values(const TensorInfo& tensor) {
    const std::string location(tensor.location);
    const std::string where =
        fmt::format("{} (tensor {})", model_.source.name, io::Quoted(tensor.name));
    const fs::path relative(location);
    bool inside = !location.empty() && relative.is_relative();
    for (const fs::path& step : relative) inside = inside && step != "..";
    if (!inside)
      throw DataError("the file of external weights is " + io::Quoted(location) +
                          ", which is not in the model's folder",
                      where);
    auto found = files_.find(location);
    if (found == files_.end())
      found = files_.emplace(location, io::MappedFile(folder_ / relative)).first;
    const auto bytes = found->second.bytes();
    const auto size = static_cast<uint64_t>(tensor.ByteSize());
    const auto offset = static_cast<uint64_t>(tensor.offset);
    if (offset > bytes.size() || size > bytes.size() - offset) {
      throw DataError(fmt::format("bytes [{}, +{}) of {} are needed, which has {}", offset, size,
                                  io::Quoted(location), bytes.size()),
                      where);
    }
    return {reinterpret_cast<const char*>(bytes.data()) + offset, size};
  }

  const Model& model_;
  const fs::path& folder_;
  fs::path path_;
  std::optional<AtomicFile> file_;
  std::map<std::string, io::MappedFile> files_;
};

void AddOpsets(const Model& model, ByteRope& rope) {
  for (const auto& [domain, version] : model.opsets) {
    std::string opset;
    protozero::pbf_writer writer(opset);
    writer.add_string(1, domain);
    writer.add_int64(2, version);
    rope.Header(8, opset.size());
    rope.Own(std::move(opset));
  }
}

}  // namespace

std::string PartFile(int32_t k) { return fmt::format("part_{}.onnx", k); }

std::string TensorValueInfo(std::string_view name, int32_t element, size_t axes) {
  std::string shape, tensor, type, info;
  for (size_t i = 0; i < axes; ++i) protozero::pbf_writer(shape).add_string(1, "");
  protozero::pbf_writer(tensor).add_int32(1, element);
  protozero::pbf_writer(tensor).add_string(2, shape);
  protozero::pbf_writer(type).add_string(1, tensor);
  protozero::pbf_writer writer(info);
  writer.add_string(1, name.data(), name.size());
  writer.add_string(2, type);
  return info;
}

uint64_t PartWriter::Write(const Part& part, int32_t k, const fs::path& directory) const {
  const fs::path path = directory / PartFile(k);
  ExternalData external(model_, folder_, fs::path(path.string() + ".data"));
  ByteRope graph;
  for (const Node* node : part.nodes) graph.Field(1, node->bytes);
  std::string name = std::string(model_.graph.name) + fmt::format("_part_{}", k);
  graph.Header(2, name.size());
  graph.Own(std::move(name));
  std::vector<std::string> weight_inputs;
  for (const TensorInfo* tensor : part.weights) {
    if (tensor->external) {
      std::string moved = external.Add(*tensor);
      graph.Header(5, moved.size());
      graph.Own(std::move(moved));
    } else {
      // A sparse one is a message of another kind: its values have no name of their own.
      graph.Field(tensor->sparse ? 15 : 5, tensor->bytes);
    }
    if (model_.ir_version < kWeightsAreInputs)
      weight_inputs.push_back(TensorValueInfo(tensor->name, tensor->element, tensor->dims.size()));
  }
  for (const std::string& info : part.inputs) graph.Field(11, info);
  for (std::string& info : weight_inputs) {
    graph.Header(11, info.size());
    graph.Own(std::move(info));
  }
  for (const std::string& info : part.outputs) graph.Field(12, info);
  for (std::string_view info : part.inner) graph.Field(13, info);

  ByteRope rope;
  EachField({model_.source.begin, model_.source.size}, model_.source,
            [&](uint32_t field, std::string_view raw) {
              constexpr uint32_t kGraph = 7, kOpsets = 8, kTraining = 20;
              if (field == kGraph) {
                rope.Message(kGraph, graph);
                AddOpsets(model_, rope);
              } else if (field != kOpsets && field != kTraining) {
                rope.Borrow(raw);
              }
            });
  rope.Write(path);
  return rope.size() + external.Finish();
}

}  // namespace orchard::place::onnx
