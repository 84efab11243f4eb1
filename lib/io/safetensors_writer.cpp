#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/partial_file.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"

namespace orchard::io {
namespace {

std::string QuotedJson(const std::string& text) { return nlohmann::json(text).dump(); }

uint64_t TensorBytes(const TensorInfo& tensor) {
  int64_t bits = BitSize(tensor.dtype);
  for (int64_t n : tensor.shape) {
    if (n < 0 || __builtin_mul_overflow(bits, n, &bits)) {
      throw Error(ExitCode::kInternal, "shape of a tensor to be written is not possible",
                  Printable(tensor.name));
    }
  }
  if (bits % 8 != 0) {
    throw Error(ExitCode::kInternal, "tensor to be written ends inside a byte",
                Printable(tensor.name));
  }
  return static_cast<uint64_t>(bits) / 8;
}

// Fills in begin and end, counted from the start of the data. Returns the size of the data.
uint64_t PlaceTensors(std::vector<TensorInfo>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return ByteSize(tensors[a].dtype) > ByteSize(tensors[b].dtype);
  });
  uint64_t end = 0;
  for (size_t i : order) {
    tensors[i].begin = end;
    if (__builtin_add_overflow(end, TensorBytes(tensors[i]), &end)) {
      throw Error(ExitCode::kInternal, "file to be written is larger than 2^64 bytes");
    }
    tensors[i].end = end;
    tensors[i].file = 0;
  }
  return end;
}

std::string HeaderJson(const std::vector<TensorInfo>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::string json = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata) {
    if (json.back() != '{') json += ',';
    json += QuotedJson(key) + ":" + QuotedJson(value);
  }
  json += '}';
  for (const TensorInfo& tensor : tensors) {
    json += fmt::format(",{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        QuotedJson(tensor.name), Name(tensor.dtype), fmt::join(tensor.shape, ","),
                        tensor.begin, tensor.end);
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  return json;
}

std::string LengthPrefix(uint64_t length) {
  std::string prefix;
  for (int i = 0; i < 8; ++i) prefix += static_cast<char>(length >> 8 * i & 0xFF);
  return prefix;
}

}  // namespace

SafetensorsLayout::SafetensorsLayout(std::vector<TensorInfo> tensors,
                                     std::map<std::string, std::string> metadata)
    : tensors_(std::move(tensors)) {
  metadata.emplace("format", "pt");
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const bool twice = i > 0 && tensors_[i].name == tensors_[i - 1].name;
    if (twice || tensors_[i].name == "__metadata__") {
      throw Error(ExitCode::kInternal, "tensor name cannot be written", Printable(tensors_[i].name),
                  twice ? "it appears twice" : "the format keeps it for itself");
    }
  }
  const uint64_t data_size = PlaceTensors(tensors_);
  const std::string json = HeaderJson(tensors_, metadata);
  if (json.size() > kMaxSafetensorsHeader) {
    throw ImpossibleError(
        fmt::format("{} tensors need a header of {} bytes, over the limit of 100 MB",
                    tensors_.size(), json.size()),
        "", "write more shards");
  }
  header_ = LengthPrefix(json.size()) + json;
  for (TensorInfo& tensor : tensors_) {
    tensor.begin += header_.size();
    tensor.end += header_.size();
  }
  file_size_ = header_.size() + data_size;
}

const TensorInfo* SafetensorsLayout::Find(std::string_view name) const {
  const auto found = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const TensorInfo& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

struct SafetensorsWriter::State {
  SafetensorsLayout layout;
  PartialFile file;
  std::atomic<uint64_t> written;  // bytes, the header included
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, SafetensorsLayout layout,
                                     Caching caching) {
  PartialFile file(path, layout.file_size(), caching);
  file.WriteAt(0, std::as_bytes(std::span(layout.header())));
  const uint64_t header = layout.header().size();
  state_.reset(new State{std::move(layout), std::move(file), header});
}

SafetensorsWriter::~SafetensorsWriter() = default;
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;
const SafetensorsLayout& SafetensorsWriter::layout() const { return state_->layout; }

bool SafetensorsWriter::direct() const { return state_->file.direct(); }

void SafetensorsWriter::Write(const TensorInfo& tensor, uint64_t offset,
                              std::span<const std::byte> bytes) {
  // By name, so that a caller may hand in the entry of a source file, whose offsets are others.
  const TensorInfo* own = state_->layout.Find(tensor.name);
  if (!own || offset > own->end - own->begin || bytes.size() > own->end - own->begin - offset) {
    throw Error(ExitCode::kInternal,
                own ? "write beyond a tensor" : "write to a tensor not laid out",
                state_->file.path().string() + ": tensor " + Printable(tensor.name));
  }
  state_->file.WriteAt(own->begin + offset, bytes);
  state_->written += bytes.size();
}

void SafetensorsWriter::Finish(bool sync) {
  if (state_->written != state_->layout.file_size()) {
    throw Error(ExitCode::kInternal,
                fmt::format("{} of {} bytes were written", state_->written.load(),
                            state_->layout.file_size()),
                state_->file.path().string());
  }
  state_->file.Finish(sync);
}

void WriteSafetensorsIndex(const std::filesystem::path& path,
                           const std::map<std::string, std::string>& weight_map,
                           uint64_t total_bytes) {
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = weight_map;
  const std::string text = index.dump(2) + "\n";
  AtomicFile file(path, text.size());
  file.Write(text);
  file.Commit();
}

}  // namespace orchard::io
