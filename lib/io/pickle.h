// Python pickles that hold tensors and plain values, read without Python and without the power to
// run anything: a pickle is a program for a stack machine, and this machine knows containers,
// strings, numbers and PyTorch's tensor records. It cannot import or call; a pickle that asks for
// anything else (the way malicious checkpoints run code) is refused with the name it asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/dtype.h"

namespace orchard::io {

// A tensor as PyTorch pickles it: a view into a storage that lies elsewhere.
struct PickledTensor {
  std::string storage;  // its key: the file data/<key> of the checkpoint
  int64_t storage_elements = 0;
  DType dtype = DType::kF32;
  int64_t offset = 0;  // elements
  std::vector<int64_t> shape, stride;
};

// One value of a pickle. Containers refer to other values by their index in `Pickle::values`, so a
// value that contains itself, or one that is a million deep, is harmless.
struct PickledValue {
  enum class Kind {
    kNone,
    kBool,
    kInteger,
    kFloat,
    kString,
    kTuple,
    kList,
    kDict,
    kDType,
    kStorage,
    kTensor,
    kGlobal
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;          // kBool, kInteger; kTensor and kStorage: index in `Pickle::tensors`
  double number = 0;            // kFloat
  std::string text;             // kString; kGlobal: "module.name"
  std::vector<uint32_t> items;  // kTuple, kList; kDict: key, value, key, value, ...
};

struct Pickle {
  std::vector<PickledValue> values;
  std::vector<PickledTensor> tensors;
  uint32_t root = 0;
};

// Throws DataError naming `where` and the offset in the pickle: not a pickle, cut short, damaged,
// or asking for more than values.
Pickle ParsePickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace orchard::io
