// safetensors: u64 little-endian header length, JSON header, tensor bytes. Readers are safe against
// hostile files: every length, offset, shape and dtype is checked before use, and errors name file,
// tensor and offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/dtype.h"
#include "io/partial_file.h"

namespace orchard::io {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // byte range inside the file, counted from its start
  int32_t file = 0;             // which file of the checkpoint

  int64_t elements() const;  // product of shape; 1 for a scalar
};

// One file or a sharded checkpoint, memory-mapped. Tensors are ordered by name. All members may be
// called from any thread.
class Checkpoint {
 public:
  // A .safetensors file, an index (.safetensors.index.json), or a directory that holds
  // model.safetensors, model.safetensors.index.json or only one *.safetensors file (timm and
  // others). PyTorch's own files (.bin, .pth, their index, or a directory with pytorch_model.bin)
  // open in the same way, without running any code they hold: see io/torch_file.h. Throws DataError
  // (file, tensor, offset).
  static Checkpoint Open(const std::filesystem::path& path);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  // Puts the tensors of one more file beside those that are here. Not while another thread uses the
  // checkpoint; spans from `Bytes` and tensors found before are void. Throws DataError where a name
  // is there already.
  void Add(const std::filesystem::path& file);

  const std::vector<TensorInfo>& tensors() const;
  const TensorInfo* Find(std::string_view name) const;  // nullptr when absent
  const TensorInfo& Get(std::string_view name) const;   // throws DataError naming the nearest name

  // The tensor's bytes, aligned for its dtype. Where the file does not align them (a header that is
  // not a multiple of 8 bytes, as old writers left it), the first call makes a copy that lives as
  // long as the checkpoint; `Copy` needs none.
  std::span<const std::byte> Bytes(const TensorInfo& tensor) const;

  // Copies the tensor's bytes from `offset` on into `target`, whatever their alignment.
  void Copy(const TensorInfo& tensor, uint64_t offset, std::span<std::byte> target) const;

  const std::map<std::string, std::string>& metadata() const;  // of the first file
  const std::vector<std::filesystem::path>& files() const;     // ordered by name
  std::string Where(const TensorInfo& tensor) const;           // "file: tensor NAME", for messages

  // Hints about bytes [begin, end) of a tensor. `Prefetch` starts reading them from disk; `Release`
  // says that they will not be needed soon, which bounds resident memory in out-of-core work (they
  // may still be read again).
  void Prefetch(const TensorInfo& tensor, uint64_t begin, uint64_t end) const;
  void Release(const TensorInfo& tensor, uint64_t begin, uint64_t end) const;

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Throws ImpossibleError, with the hint to dequantise, when a tensor has a dtype that Orchard does
// not compute with (FP8 and smaller, complex) or a name that quantising tools give (GPTQ, AWQ,
// bitsandbytes, block-scaled FP8).
void RefuseQuantized(const Checkpoint& checkpoint);

// Where every tensor of a file to be written goes. Sizes are known before any byte of data is.
class SafetensorsLayout {
 public:
  // Only name, dtype and shape of `tensors` are read. Header ordered by name and padded with spaces
  // to 8 bytes; data ordered by element size, largest first, then by name, so that every tensor is
  // aligned; `metadata` gains {"format": "pt"} unless it has "format". Throws ImpossibleError when
  // the header would pass the format's 100 MB.
  explicit SafetensorsLayout(std::vector<TensorInfo> tensors,
                             std::map<std::string, std::string> metadata = {});
  const std::vector<TensorInfo>& tensors() const {
    return tensors_;
  }                                                      // by name, begin and end filled in
  const TensorInfo* Find(std::string_view name) const;   // nullptr when absent
  const std::string& header() const { return header_; }  // length prefix and JSON
  uint64_t file_size() const { return file_size_; }

 private:
  std::vector<TensorInfo> tensors_;
  std::string header_;
  uint64_t file_size_ = 0;
};

// Writes one file in any order and from any thread: bytes go to their final offsets beside the name
// (`path`.partial), and `Finish` renames. A writer that is destroyed before `Finish` removes its
// file. Throws ResourceError (disk full, I/O).
class SafetensorsWriter {
 public:
  // Takes all the space at once, so that a disk too small is known before any work; throws
  // ResourceError with needed and free.
  SafetensorsWriter(const std::filesystem::path& path, SafetensorsLayout layout,
                    Caching caching = Caching::kCached);
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;
  const SafetensorsLayout& layout() const;
  // Whether large writes pass the page cache; then `bytes` of `Write` are best put together in a
  // WriteBuffer for where they go: the tensor's `begin` in the layout, plus `offset`.
  bool direct() const;
  // Writes `bytes` at `offset` bytes into the tensor of that name; thread-safe. Every byte is to be
  // written exactly once.
  void Write(const TensorInfo& tensor, uint64_t offset, std::span<const std::byte> bytes);
  // Renames the file to its name. `sync`: only once the bytes are on the disk. Throws when bytes
  // are missing.
  void Finish(bool sync = true);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// model.safetensors.index.json of a sharded checkpoint: tensor name -> file name, and the total of
// tensor bytes.
void WriteSafetensorsIndex(const std::filesystem::path& path,
                           const std::map<std::string, std::string>& weight_map,
                           uint64_t total_bytes);

}  // namespace orchard::io
