#include "io/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "io/json_scanner.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
enum Field { kDType, kShape, kOffsets };
constexpr size_t kMaxDimensions = 64;
constexpr size_t kMaxMetadata = 1'000'000;  // entries: more are no description of anything

// Receives the JSON as events, never as a tree: a header of 100 MB costs its tensors and nothing
// more, and a key that comes twice is seen (a tree would keep one of the two and say nothing).
class HeaderEvents : public JsonEvents {
 public:
  HeaderEvents(std::string_view text, const std::string& where)
      : begin_(text.data()), where_(where) {}

  void Null() override { Unexpected("null"); }
  void Boolean(bool) override { Unexpected("a boolean"); }
  void Unsigned(uint64_t value) override;
  void OtherNumber(std::string_view text) override;
  void String(std::string_view value) override;
  void Key(std::string_view value) override;
  void StartObject() override;
  void EndObject() override;
  void StartArray() override;
  void EndArray() override;
  [[noreturn]] void Invalid(const char* reason) override {
    Fail(std::string("header is not valid JSON (") + reason + ")");
  }

  SafetensorsHeader header;

  // Orders the tensors by name. Throws DataError when two have the same.
  void SortByName();

 private:
  enum class Place { kRoot, kTop, kTensor, kMetadata, kShape, kOffsets };

  [[noreturn]] void Fail(const std::string& what) const { FailAt(what, name_, at - begin_); }
  [[noreturn]] void FailAt(const std::string& what, const std::string& name, int64_t place) const {
    std::string where = where_;
    if (!name.empty()) where += ": tensor " + Printable(name);
    throw DataError(what, fmt::format("{}: offset {}", where, 8 + place));
  }
  [[noreturn]] void Unexpected(const char* found) const;

  const char* begin_;
  const std::string& where_;
  Place place_ = Place::kRoot;
  std::string name_;                                             // of the tensor being read
  std::map<std::string, std::string>::iterator metadata_entry_;  // being read
  bool has_metadata_ = false;
  Field field_ = kDType;
  unsigned fields_seen_ = 0;
  TensorInfo tensor_;
  std::vector<uint64_t> offsets_;
  uint32_t key_end_ = 0;
  std::vector<uint32_t> key_ends_;  // of the tensors, within the text
};

void HeaderEvents::Unexpected(const char* found) const {
  switch (place_) {
    case Place::kRoot:
      Fail(fmt::format("header is {}, not an object", found));
    case Place::kTop:
      Fail(fmt::format("entry is {}, not an object", found));
    case Place::kMetadata:
      Fail(fmt::format("metadata entry {} is {}, not a string", Quoted(metadata_entry_->first),
                       found));
    case Place::kTensor:
      Fail(fmt::format("\"{}\" is {}, not {}", kFields[field_], found,
                       field_ == kDType ? "a string" : "an array"));
    case Place::kShape:
    case Place::kOffsets:
      break;
  }
  Fail(fmt::format("\"{}\" holds {}, not integers", kFields[field_], found));
}

void HeaderEvents::Unsigned(uint64_t value) {
  if (place_ == Place::kShape) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      Fail(fmt::format("dimension {} does not fit in 63 bits", value));
    }
    if (tensor_.shape.size() == kMaxDimensions) Fail("shape has more than 64 dimensions");
    tensor_.shape.push_back(static_cast<int64_t>(value));
  } else if (place_ == Place::kOffsets) {
    if (offsets_.size() == 2) Fail("\"data_offsets\" has more than two numbers");
    offsets_.push_back(value);
  } else {
    Unexpected("a number");
  }
}

void HeaderEvents::OtherNumber(std::string_view text) {
  if (place_ != Place::kShape && place_ != Place::kOffsets) Unexpected("a number");
  const bool negative = text.find_first_of(".eE") == text.npos && text.front() == '-';
  const std::string number = Printable(std::string(text.substr(0, 60)), 40);
  if (negative) Fail(fmt::format("negative number {} in \"{}\"", number, kFields[field_]));
  Fail(fmt::format("{} in \"{}\" is not an integer below 2^64", number, kFields[field_]));
}

void HeaderEvents::String(std::string_view value) {
  if (place_ == Place::kMetadata) {
    metadata_entry_->second = value;
  } else if (place_ == Place::kTensor && field_ == kDType) {
    const auto dtype = DTypeFromName(value);
    if (!dtype) Fail("unknown dtype " + Quoted(value));
    tensor_.dtype = *dtype;
  } else {
    Unexpected("a string");
  }
}

void HeaderEvents::StartObject() {
  if (place_ == Place::kRoot) {
    place_ = Place::kTop;
  } else if (place_ == Place::kTop) {
    place_ = name_ == kMetadataKey ? Place::kMetadata : Place::kTensor;
    tensor_ = TensorInfo{};
    offsets_.clear();
    fields_seen_ = 0;
  } else {
    Unexpected("an object");
  }
}

void HeaderEvents::Key(std::string_view value) {
  if (place_ == Place::kTop) {
    name_ = value;
    key_end_ = static_cast<uint32_t>(at - begin_);
    if (name_ == kMetadataKey && std::exchange(has_metadata_, true)) {
      Fail("the key " + Quoted(name_) + " appears twice");
    }
  } else if (place_ == Place::kMetadata) {
    const size_t before = header.metadata.size();
    metadata_entry_ = header.metadata.try_emplace(header.metadata.end(), std::string(value));
    if (header.metadata.size() == before) {
      Fail("the metadata key " + Quoted(value) + " appears twice");
    }
    if (before == kMaxMetadata) Fail("more than 1000000 entries in \"__metadata__\"");
  } else {
    const auto found = std::find(kFields.begin(), kFields.end(), value);
    if (found == kFields.end()) {
      Fail("unknown field " + Quoted(value) + " beside dtype, shape and data_offsets");
    }
    field_ = static_cast<Field>(found - kFields.begin());
    if (fields_seen_ & 1u << field_) Fail(fmt::format("\"{}\" appears twice", *found));
    fields_seen_ |= 1u << field_;
  }
}

void HeaderEvents::EndObject() {
  if (place_ == Place::kTensor) {
    for (int i = 0; i < 3; ++i) {
      if (!(fields_seen_ & 1u << i)) Fail(fmt::format("\"{}\" is missing", kFields[i]));
    }
    tensor_.name = name_;
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header.tensors.push_back(std::move(tensor_));
    key_ends_.push_back(key_end_);
  }
  place_ = Place::kTop;  // after the outermost object nothing but white space parses
  name_.clear();
}

void HeaderEvents::StartArray() {
  if (place_ == Place::kTensor && field_ == kShape) {
    place_ = Place::kShape;
  } else if (place_ == Place::kTensor && field_ == kOffsets) {
    place_ = Place::kOffsets;
  } else {
    Unexpected("an array");
  }
}

void HeaderEvents::EndArray() {
  if (place_ == Place::kOffsets && offsets_.size() != 2) {
    Fail(fmt::format("\"data_offsets\" has {} numbers, not two", offsets_.size()));
  }
  place_ = Place::kTensor;
}

void HeaderEvents::SortByName() {
  std::vector<TensorInfo>& tensors = header.tensors;
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto less = [&](uint32_t a, uint32_t b) { return tensors[a].name < tensors[b].name; };
  const bool sorted = std::is_sorted(order.begin(), order.end(), less);
  if (!sorted) std::stable_sort(order.begin(), order.end(), less);
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string& name = tensors[order[i]].name;
    if (name == tensors[order[i - 1]].name) {
      FailAt("the key " + Quoted(name) + " appears twice", name, key_ends_[order[i]]);
    }
  }
  if (sorted) return;
  std::vector<TensorInfo> ordered;
  ordered.reserve(tensors.size());
  for (const uint32_t i : order) ordered.push_back(std::move(tensors[i]));
  tensors = std::move(ordered);
}

std::string PlaceOf(const std::string& where, const TensorInfo& tensor, uint64_t offset) {
  return fmt::format("{}: tensor {}: offset {}", where, Printable(tensor.name), offset);
}

std::string ShapeText(const TensorInfo& tensor) {
  std::string dimensions;
  for (size_t i = 0; i < tensor.shape.size() && i < 8; ++i) {
    dimensions += (i ? ", " : "") + std::to_string(tensor.shape[i]);
  }
  if (tensor.shape.size() > 8) dimensions += ", ...";
  return fmt::format("{} [{}]", Name(tensor.dtype), dimensions);
}

// The bytes that shape and dtype ask for. Throws DataError when the count overflows or ends inside
// a byte.
template <class Place>
uint64_t ExpectedBytes(const TensorInfo& tensor, const Place& place) {
  int64_t bits = BitSize(tensor.dtype);
  for (int64_t n : tensor.shape) {
    if (__builtin_mul_overflow(bits, n, &bits)) {
      throw DataError("size of shape overflows: " + ShapeText(tensor), place());
    }
  }
  if (bits % 8 != 0) throw DataError("size ends inside a byte: " + ShapeText(tensor), place());
  return static_cast<uint64_t>(bits) / 8;
}

// `data_size` bytes follow the header; offsets still count from there.
void CheckTensor(const TensorInfo& tensor, uint64_t data_begin, uint64_t data_size,
                 const std::string& where) {
  if (tensor.begin > tensor.end) {
    throw DataError(
        fmt::format("begin {} lies after end {}", tensor.begin, tensor.end),
        fmt::format("{}: tensor {}: data offset {}", where, Printable(tensor.name), tensor.begin));
  }
  if (tensor.end > data_size) {
    throw DataError(
        fmt::format("ends {} bytes past the end of the file", tensor.end - data_size),
        fmt::format("{}: tensor {}: data offset {}", where, Printable(tensor.name), tensor.end));
  }
  const auto place = [&] { return PlaceOf(where, tensor, data_begin + tensor.begin); };
  const uint64_t expected = ExpectedBytes(tensor, place);
  if (tensor.end - tensor.begin != expected) {
    throw DataError(fmt::format("has {} bytes, but {} needs {}", tensor.end - tensor.begin,
                                ShapeText(tensor), expected),
                    place());
  }
}

// Tensors must follow one another from the first data byte to the last byte of the file.
void CheckCover(const std::vector<TensorInfo>& tensors, uint64_t data_begin, uint64_t file_size,
                const std::string& where) {
  std::vector<const TensorInfo*> order;
  order.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t end = data_begin;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo* tensor : order) {
    if (tensor->begin < end) {
      throw DataError("overlaps tensor " + Printable(previous->name),
                      PlaceOf(where, *tensor, tensor->begin));
    }
    if (tensor->begin > end) {
      throw DataError(fmt::format("{} bytes before the tensor belong to none", tensor->begin - end),
                      PlaceOf(where, *tensor, end));
    }
    end = tensor->end;
    previous = tensor;
  }
  if (end != file_size) {
    throw DataError(fmt::format("{} bytes after the last tensor", file_size - end),
                    fmt::format("{}: offset {}", where, end));
  }
}

// The JSON text, once its length is known to be sane.
std::string_view HeaderText(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < 8) {
    throw DataError(
        fmt::format("file of {} bytes is too short to be a safetensors file", file.size()),
        where + ": offset 0");
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<uint64_t>(file[i]);
  const std::string place = where + ": offset 0";
  if (length < 2) throw DataError(fmt::format("header length is {}", length), place);
  if (length > kMaxSafetensorsHeader) {
    throw DataError(fmt::format("header length {} is over the limit of 100 MB", length), place,
                    "is it a safetensors file?");
  }
  if (length > file.size() - 8) {
    throw DataError(fmt::format("header of {} bytes ends past the end of the file ({} bytes)",
                                length, file.size()),
                    place, "the file was cut short: copy it again");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (text[0] != '{') throw DataError("header does not begin with '{'", where + ": offset 8");
  // The parser takes a zero byte for the end of its input and would not look at what follows.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    throw DataError("zero byte in the header", fmt::format("{}: offset {}", where, 8 + zero));
  }
  return text;
}

}  // namespace

SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> file,
                                         const std::string& where) {
  const std::string_view text = HeaderText(file, where);
  HeaderEvents events(text, where);
  ScanJson(text, events);
  events.SortByName();
  SafetensorsHeader header = std::move(events.header);
  const uint64_t data_begin = 8 + text.size();
  for (TensorInfo& tensor : header.tensors) {
    CheckTensor(tensor, data_begin, file.size() - data_begin, where);
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  CheckCover(header.tensors, data_begin, file.size(), where);
  return header;
}

}  // namespace orchard::io
