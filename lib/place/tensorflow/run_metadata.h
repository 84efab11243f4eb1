// What traced steps of a TensorFlow program took: RunMetadata with StepStats, a CostGraph, or both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace orchard::place::tensorflow {

// Of one node over all files.
struct NodeTrace {
  std::vector<double> us;            // one for each file that times it
  int64_t temp = 0, persistent = 0;  // bytes; the largest of all files
  std::map<int32_t, int64_t> out;    // bytes by port; the largest of all files
  double Median() const;             // 0 without times
};

class RunMetadata {
 public:
  // Adds one traced step. Copies between devices ("name/_123") are left out. A GPU's time is that
  // of its kernels, where the trace has them. Throws DataError.
  void Add(const std::filesystem::path& path);
  void AddBytes(std::string_view bytes, const std::string& file);

  const NodeTrace* Find(const std::string& node) const;
  bool empty() const { return nodes_.empty(); }

 private:
  std::unordered_map<std::string, NodeTrace> nodes_;
};

}  // namespace orchard::place::tensorflow
