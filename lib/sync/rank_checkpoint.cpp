#include "sync/rank_checkpoint.h"

#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/error.h"
#include "io/safetensors.h"
#include "io/torch/tensors.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;

constexpr const char* kValues = "x";
constexpr const char* kStatistics = "statistics";

at::Tensor View(std::span<float> values) {
  return at::from_blob(values.data(), {std::ssize(values)}, at::TensorOptions().dtype(at::kFloat));
}

// All buffers of a rank by the names they are stored under.
std::map<std::string, std::span<float>> Buffers(Replica& replica, Algorithm<float>& algorithm) {
  std::map<std::string, std::span<float>> buffers = {{kValues, replica.values()}};
  if (!replica.statistics().empty()) buffers[kStatistics] = replica.statistics();
  for (const StateBuffer<float>& state : algorithm.State()) {
    if (!state.values.empty()) buffers[std::string(state.name)] = state.values;
  }
  return buffers;
}

void Read(const io::Checkpoint& checkpoint, const std::string& name, std::span<float> target) {
  const io::TensorInfo& tensor = checkpoint.Get(name);
  if (tensor.dtype != io::DType::kF32 || tensor.elements() != std::ssize(target)) {
    throw DataError("a buffer of another model", checkpoint.Where(tensor));
  }
  checkpoint.Copy(tensor, 0, std::as_writable_bytes(target));
}

}  // namespace

fs::path RankFile(const fs::path& directory, int rank) {
  return directory / fmt::format("rank{:05d}.safetensors", rank);
}

void SaveRank(const fs::path& file, Replica& replica, Algorithm<float>& algorithm) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, values] : Buffers(replica, algorithm)) tensors[name] = View(values);
  io::SaveTensors(file, tensors);
}

void LoadRank(const fs::path& file, Replica& replica, Algorithm<float>& algorithm) {
  const auto checkpoint = io::Checkpoint::Open(file);
  const auto buffers = Buffers(replica, algorithm);
  for (const auto& [name, values] : buffers) Read(checkpoint, name, values);
  if (checkpoint.tensors().size() != buffers.size()) {
    throw DataError("the state of another algorithm", file.string());
  }
}

void SaveAveraged(const fs::path& file, const Replica& replica, const AveragedModel& averaged) {
  io::SaveTensors(file, replica.NamedTensors(averaged.values, averaged.statistics));
}

void StartFromAverage(const fs::path& directory, int saved_ranks, Replica& replica,
                      Algorithm<float>& algorithm) {
  replica.Load(directory / kAveragedFile);
  algorithm.Begin(replica.values());
  algorithm.ResumeAt(0);
  for (const StateBuffer<float>& state : algorithm.State()) {
    if (state.name != "momentum" && state.name != "second_moment") continue;
    std::vector<float> one(state.values.size());
    for (int r = 0; r < saved_ranks; ++r) {
      Read(io::Checkpoint::Open(RankFile(directory, r)), std::string(state.name), one);
      for (size_t i = 0; i < one.size(); ++i) state.values[i] += one[i];
    }
    const float factor = 1.0f / static_cast<float>(saved_ranks);
    for (float& value : state.values) value *= factor;
  }
}

}  // namespace orchard::sync
