// One part of a model as a file of its own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "place/onnx/model.h"

namespace orchard::place::onnx {

struct Part {
  std::vector<const Node*> nodes;  // in an order in which they can run
  std::vector<const TensorInfo*> weights;
  std::vector<std::string_view> reads, makes;   // values from outside, and for outside
  std::vector<std::string> inputs, outputs;     // the same as ValueInfoProto
  std::unordered_set<std::string_view> values;  // that its nodes make
  std::vector<std::string_view> inner;          // ValueInfoProto of those that stay inside
};

std::string PartFile(int32_t k);  // "part_3.onnx"

// ValueInfoProto of a tensor with so many axes, whose sizes are left open.
std::string TensorValueInfo(std::string_view name, int32_t element, size_t axes);

class PartWriter {
 public:
  // `folder` is where the locations of external weights count from.
  PartWriter(const Model& model, std::filesystem::path folder)
      : model_(model), folder_(std::move(folder)) {}

  // Writes part k, and part_k.onnx.data where it has external weights. Returns the bytes of both.
  // Throws DataError for external weights that are not there, ResourceError.
  uint64_t Write(const Part& part, int32_t k, const std::filesystem::path& directory) const;

 private:
  const Model& model_;
  std::filesystem::path folder_;
};

}  // namespace orchard::place::onnx
