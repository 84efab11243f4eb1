// safetensors: u64 little-endian header length, JSON header, tensor bytes. Readers are safe against hostile files: every
// length, offset, shape and dtype is checked before use, and errors name file, tensor and offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/dtype.h"

namespace orchard::io {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // byte range inside the file, counted from its start
  int32_t file = 0;             // which file of the checkpoint

  int64_t elements() const;     // product of shape; 1 for a scalar
};

// One file or a sharded checkpoint, memory-mapped. Tensors are ordered by name.
class Checkpoint {
 public:
  // A .safetensors file, an index (.safetensors.index.json), or a directory that holds model.safetensors or
  // model.safetensors.index.json (timm and others: the only *.safetensors file). Throws DataError (file, tensor, offset).
  static Checkpoint Open(const std::filesystem::path& path);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  const std::vector<TensorInfo>& tensors() const;
  const TensorInfo* Find(std::string_view name) const;  // nullptr when absent
  std::span<const std::byte> Bytes(const TensorInfo& tensor) const;
  const std::map<std::string, std::string>& metadata() const;  // of the first file
  const std::vector<std::filesystem::path>& files() const;
  std::string Where(const TensorInfo& tensor) const;           // "file: tensor NAME", for messages

  // Tells the kernel that these bytes will not be needed again: bounds resident memory in out-of-core work.
  void Release(const TensorInfo& tensor, uint64_t begin, uint64_t end) const;

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Where every tensor of a file to be written goes. Sizes are known before any byte of data is.
class SafetensorsLayout {
 public:
  // Tensors ordered by name; header padded with spaces to 8 bytes; `metadata` gains {"format": "pt"} unless it has it.
  SafetensorsLayout(std::vector<TensorInfo> tensors, std::map<std::string, std::string> metadata = {});
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // begin and end filled in
  const std::string& header() const { return header_; }                // length prefix and JSON
  uint64_t file_size() const { return file_size_; }

 private:
  std::vector<TensorInfo> tensors_;
  std::string header_;
  uint64_t file_size_ = 0;
};

// Writes one file in any order and from any thread: bytes go to their final offsets beside the name (`path`.partial), and
// `Finish` renames. A writer that is destroyed before `Finish` removes its file. Throws ResourceError (disk full, I/O).
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, SafetensorsLayout layout);
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  const SafetensorsLayout& layout() const;
  // Writes `bytes` at `offset` bytes into the tensor; thread-safe.
  void Write(const TensorInfo& tensor, uint64_t offset, std::span<const std::byte> bytes);
  void Finish(bool sync = true);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// model.safetensors.index.json of a sharded checkpoint: tensor name -> file name, and the total of tensor bytes.
void WriteSafetensorsIndex(const std::filesystem::path& path,
                           const std::map<std::string, std::string>& weight_map, uint64_t total_bytes);

}  // namespace orchard::io
