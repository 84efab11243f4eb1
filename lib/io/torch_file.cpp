#include "io/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "base/error.h"
#include "io/pickle.h"
#include "io/printable.h"
#include "io/zip_archive.h"

namespace orchard::io {
namespace {

using Kind = PickledValue::Kind;
using Entries = std::map<std::string, ZipEntry>;

constexpr std::string_view kInnerNames[] = {"state_dict", "model",  "model_state_dict",
                                            "module",     "params", "ema"};
constexpr uint64_t kMaxPickle = 64'000'000;
constexpr size_t kMaxName = 512;

// The folder inside the archive, with its slash: the one that holds data.pkl.
std::string Folder(const Entries& entries, const std::string& where) {
  for (const auto& [name, entry] : entries) {
    const size_t slash = name.find('/');
    if (slash != name.npos && name.substr(slash) == "/data.pkl") return name.substr(0, slash + 1);
  }
  throw DataError("zip archive holds no data.pkl, so it is no PyTorch checkpoint", where);
}

std::span<const std::byte> Contents(std::span<const std::byte> file, const Entries& entries,
                                    const std::string& name, const std::string& where) {
  const auto found = entries.find(name);
  if (found == entries.end()) throw DataError("zip archive lacks " + Quoted(name), where);
  if (!found->second.stored) {
    throw DataError("zip entry " + Quoted(name) + " is compressed", where,
                    "PyTorch stores without compression: save the checkpoint again");
  }
  return file.subspan(found->second.begin, found->second.end - found->second.begin);
}

bool HoldsTensors(const Pickle& pickle, const PickledValue& dict) {
  if (dict.kind != Kind::kDict) return false;
  for (size_t i = 1; i < dict.items.size(); i += 2) {
    if (pickle.values[dict.items[i]].kind == Kind::kTensor) return true;
  }
  return false;
}

const PickledValue& FindStateDict(const Pickle& pickle, const std::string& where) {
  const PickledValue& root = pickle.values[pickle.root];
  if (root.kind != Kind::kDict) throw DataError("checkpoint is not a dict of tensors", where);
  if (HoldsTensors(pickle, root)) return root;
  for (std::string_view name : kInnerNames) {
    for (size_t i = 0; i + 1 < root.items.size(); i += 2) {
      const PickledValue& key = pickle.values[root.items[i]];
      const PickledValue& value = pickle.values[root.items[i + 1]];
      if (key.kind == Kind::kString && key.text == name && HoldsTensors(pickle, value))
        return value;
    }
  }
  throw DataError("checkpoint holds no dict of tensors", where);
}

// Elements of the tensor, when it is contiguous and lies in its storage.
int64_t CheckView(const PickledTensor& tensor, const std::string& place) {
  int64_t elements = 1, end = 0;
  for (int64_t n : tensor.shape) {
    if (n < 0 || __builtin_mul_overflow(elements, n, &elements))
      throw DataError("shape is not possible", place);
  }
  if (tensor.offset < 0 || tensor.storage_elements < 0 ||
      __builtin_add_overflow(tensor.offset, elements, &end) || end > tensor.storage_elements) {
    throw DataError("tensor reaches beyond its storage", place);
  }
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0 && elements > 0;) {
    if (tensor.shape[i] != 1 && tensor.stride[i] != expected) {
      throw ImpossibleError("tensor is a view that is not contiguous", place,
                            "save it with .contiguous()");
    }
    expected *= tensor.shape[i];
  }
  return elements;
}

}  // namespace

bool IsTorchFile(std::span<const std::byte> file) {
  // Before 1.6: PROTO 2 and a ten-byte integer. As a header length of safetensors that would be
  // over the limit.
  static constexpr std::byte kOld[] = {std::byte{0x80}, std::byte{2}, std::byte{0x8A},
                                       std::byte{10}};
  return IsZip(file) ||
         (file.size() > 4 && std::equal(std::begin(kOld), std::end(kOld), file.begin()));
}

std::vector<TensorInfo> ParseTorchFile(std::span<const std::byte> file, const std::string& where) {
  if (!IsZip(file)) {
    throw DataError("checkpoint in the format of PyTorch before 1.6", where,
                    "load and save it with a newer PyTorch");
  }
  const Entries entries = ReadZipDirectory(file, where);
  const std::string folder = Folder(entries, where);
  if (entries.count(folder + "byteorder")) {
    const auto order = Contents(file, entries, folder + "byteorder", where);
    if (order.empty() || order[0] != std::byte{'l'})
      throw DataError("checkpoint is big-endian", where);
  }
  const auto code = Contents(file, entries, folder + "data.pkl", where);
  if (code.size() > kMaxPickle) throw DataError("data.pkl is over the limit of 64 MB", where);
  const Pickle pickle = ParsePickle(code, where);
  const PickledValue& dict = FindStateDict(pickle, where);

  std::vector<TensorInfo> tensors;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickledValue& key = pickle.values[dict.items[i]];
    const PickledValue& value = pickle.values[dict.items[i + 1]];
    if (value.kind != Kind::kTensor) continue;
    if (key.kind != Kind::kString || key.text.size() > kMaxName) {
      throw DataError("tensor has a name that is no string, or a very long one", where);
    }
    const PickledTensor& tensor = pickle.tensors[static_cast<size_t>(value.integer)];
    const std::string place = where + ": tensor " + Printable(key.text);
    const auto storage = Contents(file, entries, folder + "data/" + tensor.storage, place);
    const auto elements = static_cast<uint64_t>(CheckView(tensor, place));
    const auto size = static_cast<uint64_t>(ByteSize(tensor.dtype));
    // The element count of the pickle is a claim; the storage is what is there.
    if (elements + static_cast<uint64_t>(tensor.offset) > storage.size() / size) {
      throw DataError("tensor reaches beyond its storage", place);
    }
    TensorInfo info{.name = key.text, .dtype = tensor.dtype, .shape = tensor.shape};
    info.begin = static_cast<uint64_t>(storage.data() - file.data()) +
                 static_cast<uint64_t>(tensor.offset) * size;
    info.end = info.begin + elements * size;
    tensors.push_back(std::move(info));
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].name == tensors[i - 1].name)
      throw DataError("tensor appears twice", where + ": tensor " + Printable(tensors[i].name));
  }
  return tensors;
}

}  // namespace orchard::io
