#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "io/json_file.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"
#include "io/torch_file.h"

namespace orchard::io {
namespace fs = std::filesystem;

int64_t TensorInfo::elements() const {
  int64_t product = 1;
  for (int64_t n : shape) product *= n;
  return product;
}

struct Checkpoint::State {
  std::vector<fs::path> files;
  std::vector<MappedFile> maps;
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;

  // Aligned copies of misaligned tensors, by their place in `tensors`.
  std::mutex mutex;
  std::unordered_map<const TensorInfo*, std::unique_ptr<std::byte[]>> copies;

  // Maps one more file and returns its header with `file` filled in.
  SafetensorsHeader Add(const fs::path& path) {
    maps.emplace_back(path);
    files.push_back(path);
    const auto bytes = maps.back().bytes();
    SafetensorsHeader header = IsTorchFile(bytes)
                                   ? SafetensorsHeader{ParseTorchFile(bytes, path.string()), {}}
                                   : ParseSafetensorsHeader(bytes, path.string());
    for (TensorInfo& tensor : header.tensors) tensor.file = static_cast<int32_t>(files.size()) - 1;
    if (files.size() == 1) metadata = header.metadata;
    return header;
  }

  void SortByName() {
    std::sort(tensors.begin(), tensors.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  }
};

namespace {

constexpr std::string_view kIndexSuffix = ".index.json";

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\\') == name.npos && name.find('\0') == name.npos;
}

// The member `key` of an index, which must be an object.
const nlohmann::json& WeightMap(const nlohmann::json& index, const std::string& where) {
  if (!index.is_object()) throw DataError("index is not an object", where);
  const auto found = index.find("weight_map");
  if (found == index.end()) throw DataError("index has no \"weight_map\"", where);
  if (!found->is_object()) throw DataError("\"weight_map\" is not an object", where);
  if (found->empty()) throw DataError("\"weight_map\" is empty", where);
  return *found;
}

// Shards in the order of their names, each with its tensors as the index has them.
std::map<std::string, std::vector<std::string>> ReadIndex(const fs::path& path) {
  const nlohmann::json index = ReadJsonFile(path, kMaxSafetensorsHeader);
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, file] : WeightMap(index, path.string()).items()) {
    const std::string where = path.string() + ": tensor " + Printable(tensor);
    if (!file.is_string()) throw DataError("\"weight_map\" entry is not a file name", where);
    const auto& name = file.get_ref<const std::string&>();
    if (!IsPlainFileName(name)) {
      throw DataError(Quoted(name) + " is not the name of a file in the same directory", where);
    }
    shards[name].push_back(tensor);  // items() is ordered by name
  }
  std::vector<std::string> missing;
  for (const auto& [name, tensors] : shards) {
    std::error_code error;
    if (!fs::exists(path.parent_path() / name, error)) missing.push_back(name);
  }
  if (!missing.empty()) {
    throw DataError(fmt::format("{} of {} shards missing, first {}", missing.size(), shards.size(),
                                Quoted(missing[0])),
                    path.string(), "download the model again");
  }
  return shards;
}

// Both lists are ordered by name.
void CheckShard(const std::vector<std::string>& indexed, const std::vector<TensorInfo>& stored,
                const fs::path& shard, const fs::path& index) {
  size_t i = 0, j = 0;
  while (i < indexed.size() || j < stored.size()) {
    if (j == stored.size() || (i < indexed.size() && indexed[i] < stored[j].name)) {
      throw DataError("index " + index.filename().string() + " names a tensor that the shard lacks",
                      shard.string() + ": tensor " + Printable(indexed[i]));
    }
    if (i == indexed.size() || stored[j].name < indexed[i]) {
      throw DataError("tensor of the shard is not in the index " + index.filename().string() +
                          ", or the index has it in another shard",
                      fmt::format("{}: tensor {}: offset {}", shard.string(),
                                  Printable(stored[j].name), stored[j].begin));
    }
    ++i;
    ++j;
  }
}

// The file to open for a directory.
fs::path FindInDirectory(const fs::path& directory) {
  std::error_code error;
  const auto exists = [&](const char* name) {
    return fs::exists(fs::symlink_status(directory / name, error));
  };
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (exists(name)) return directory / name;
  }
  std::vector<fs::path> found;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    if (path.extension() == ".safetensors") found.push_back(path);
  }
  if (error)
    throw DataError("cannot read the directory (" + error.message() + ")", directory.string());
  if (found.size() == 1) return found[0];
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (found.empty() && exists(name)) return directory / name;
  }
  if (found.empty()) throw DataError("no model.safetensors in the directory", directory.string());
  throw DataError(fmt::format("{} safetensors files but no index in the directory", found.size()),
                  directory.string(), "give one of the files");
}

// The name that shares the longest prefix and suffix with `name`: good enough for "model." added or
// a layer too many.
const TensorInfo* Nearest(const std::vector<TensorInfo>& tensors, std::string_view name) {
  const TensorInfo* best = nullptr;
  size_t best_score = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::string_view other = tensor.name;
    const size_t limit = std::min(name.size(), other.size());
    size_t prefix = 0, suffix = 0;
    while (prefix < limit && name[prefix] == other[prefix]) ++prefix;
    while (suffix < limit && name[name.size() - 1 - suffix] == other[other.size() - 1 - suffix]) {
      ++suffix;
    }
    if (const size_t score = std::min(prefix + suffix, limit); score > best_score) {
      best = &tensor;
      best_score = score;
    }
  }
  return best;
}

}  // namespace

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Checkpoint Checkpoint::Open(const fs::path& given) {
  std::error_code error;
  const fs::path path = fs::is_directory(given, error) ? FindInDirectory(given) : given;
  auto state = std::make_unique<State>();
  if (!path.filename().string().ends_with(kIndexSuffix)) {
    state->tensors = state->Add(path).tensors;
    return Checkpoint(std::move(state));
  }
  for (const auto& [name, indexed] : ReadIndex(path)) {
    const fs::path shard = path.parent_path() / name;
    SafetensorsHeader header = state->Add(shard);
    CheckShard(indexed, header.tensors, shard, path);
    std::move(header.tensors.begin(), header.tensors.end(), std::back_inserter(state->tensors));
  }
  state->SortByName();
  return Checkpoint(std::move(state));
}

void Checkpoint::Add(const fs::path& file) {
  SafetensorsHeader header = state_->Add(file);
  for (const TensorInfo& tensor : header.tensors) {
    if (Find(tensor.name)) throw DataError("a tensor of this name is there already", Where(tensor));
  }
  state_->copies.clear();
  std::move(header.tensors.begin(), header.tensors.end(), std::back_inserter(state_->tensors));
  state_->SortByName();
}

const std::vector<TensorInfo>& Checkpoint::tensors() const { return state_->tensors; }
const std::map<std::string, std::string>& Checkpoint::metadata() const { return state_->metadata; }
const std::vector<fs::path>& Checkpoint::files() const { return state_->files; }

const TensorInfo* Checkpoint::Find(std::string_view name) const {
  const auto& tensors = state_->tensors;
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorInfo& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors.end() && found->name == name ? &*found : nullptr;
}

const TensorInfo& Checkpoint::Get(std::string_view name) const {
  if (const TensorInfo* found = Find(name)) return *found;
  const TensorInfo* nearest = Nearest(state_->tensors, name);
  throw DataError("no tensor " + Quoted(name), state_->files[0].string(),
                  nearest ? "nearest name " + Quoted(nearest->name) : "");
}

std::span<const std::byte> Checkpoint::Bytes(const TensorInfo& tensor) const {
  const auto bytes =
      state_->maps[tensor.file].bytes().subspan(tensor.begin, tensor.end - tensor.begin);
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  if (bytes.empty() || address % static_cast<uintptr_t>(ByteSize(tensor.dtype)) == 0) return bytes;
  const TensorInfo* own = Find(tensor.name);
  const std::lock_guard lock(state_->mutex);
  auto& copy = state_->copies[own];
  if (!copy) {
    copy.reset(new std::byte[bytes.size()]);
    std::memcpy(copy.get(), bytes.data(), bytes.size());
  }
  return {copy.get(), bytes.size()};
}

void Checkpoint::Copy(const TensorInfo& tensor, uint64_t offset,
                      std::span<std::byte> target) const {
  const uint64_t size = tensor.end - tensor.begin;
  if (offset > size || target.size() > size - offset) {
    throw Error(ExitCode::kInternal, "read beyond a tensor", Where(tensor));
  }
  if (target.empty()) return;
  std::memcpy(target.data(), state_->maps[tensor.file].bytes().data() + tensor.begin + offset,
              target.size());
}

std::string Checkpoint::Where(const TensorInfo& tensor) const {
  return state_->files[tensor.file].string() + ": tensor " + Printable(tensor.name);
}

void Checkpoint::Prefetch(const TensorInfo& tensor, uint64_t begin, uint64_t end) const {
  state_->maps[tensor.file].Prefetch(tensor.begin + begin,
                                     std::min(tensor.begin + end, tensor.end));
}

void Checkpoint::Release(const TensorInfo& tensor, uint64_t begin, uint64_t end) const {
  state_->maps[tensor.file].Release(tensor.begin + begin, std::min(tensor.begin + end, tensor.end));
}

void RefuseQuantized(const Checkpoint& checkpoint) {
  static constexpr std::string_view kSuffixes[] = {
      ".qweight", ".qzeros", ".absmax", ".SCB", ".weight_scale_inv", ".weight_packed"};
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    const bool named = std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                                   [&](std::string_view s) { return tensor.name.ends_with(s); });
    if (IsSupported(tensor.dtype) && !named) continue;
    throw ImpossibleError(
        fmt::format("{} weights cannot be used", named ? "quantised" : Name(tensor.dtype)),
        checkpoint.Where(tensor), "dequantise the model to BF16 or F32 first");
  }
}

}  // namespace orchard::io
