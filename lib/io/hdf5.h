// HDF5 files: datasets of numbers and strings, read by rows, written in compressed chunks, grown by
// appending. The library is safe to use from several threads where HDF5 was built so (Debian's is).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "io/dtype.h"

namespace orchard::io {

using Hdf5Attribute =
    std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

struct Hdf5Info {
  bool is_string = false;
  DType dtype = DType::kU8;    // of numbers: U8 I8 U16 I16 U32 I32 U64 I64 F32 F64
  std::vector<int64_t> shape;  // [] for a single value
  std::vector<int64_t> chunk;  // [] when stored in one piece
};

struct Hdf5Storage {
  int64_t chunk_rows = 0;  // rows per chunk; 0: about 256 kB per chunk
  int gzip = 4;            // 0 (none) .. 9
  bool shuffle = true;     // bytes of equal weight side by side: numbers compress better
};

// Names are paths inside the file ("train/images"). All members throw DataError naming file and
// dataset (absent, wrong type, damaged) or ResourceError (disk full, memory). T is one of uint8_t
// int8_t uint16_t int16_t uint32_t int32_t uint64_t int64_t float double.
class Hdf5File {
 public:
  static Hdf5File Open(const std::filesystem::path& path);    // to read
  static Hdf5File Update(const std::filesystem::path& path);  // to read and write, in place
  // A new file beside the name (`path`.partial); `Finish` renames it. Destroyed before that, it is
  // removed.
  static Hdf5File Create(const std::filesystem::path& path);
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;
  ~Hdf5File();

  bool Has(const std::string& name) const;
  std::vector<std::string> List(const std::string& group = "/") const;  // ordered by name
  Hdf5Info Info(const std::string& name) const;

  // Rows [begin, end) of the first axis; `target` holds all their elements. Integers are widened
  // and become floats where T holds every value of the stored type; anything else that would lose
  // is refused, but for F64 to F32.
  template <class T>
  void ReadRows(const std::string& name, int64_t begin, int64_t end, std::span<T> target) const;
  // The whole dataset, any shape.
  template <class T>
  std::vector<T> Read(const std::string& name) const;
  std::vector<std::string> ReadStrings(const std::string& name) const;  // one axis, or one string

  void MakeGroup(const std::string& name);  // and the groups above it
  // Makes the dataset and the groups above it. With `growable` rows can be appended later.
  template <class T>
  void Write(const std::string& name, std::span<const T> values, const std::vector<int64_t>& shape,
             const Hdf5Storage& storage = {}, bool growable = false);
  void WriteStrings(const std::string& name, std::span<const std::string> values);
  // Adds rows to a growable dataset; values.size() is a multiple of the elements of a row.
  template <class T>
  void Append(const std::string& name, std::span<const T> values);

  // `object` is a dataset, a group or "/".
  void SetAttribute(const std::string& object, const std::string& name, const Hdf5Attribute& value);
  bool HasAttribute(const std::string& object, const std::string& name) const;
  Hdf5Attribute GetAttribute(const std::string& object, const std::string& name) const;

  void Finish();  // of `Create` and `Update`: all is on the disk, and a new file has its name

 private:
  struct State;
  explicit Hdf5File(std::unique_ptr<State> state);
  // The C types hide behind the dtype: the templates only name it.
  void ReadAny(const std::string& name, int64_t begin, int64_t end, DType dtype, void* target,
               size_t count) const;
  void WriteAny(const std::string& name, DType dtype, const void* values, size_t count,
                const std::vector<int64_t>& shape, const Hdf5Storage& storage, bool growable);
  void AppendAny(const std::string& name, DType dtype, const void* values, size_t count);
  int64_t Elements(const std::string& name, size_t element_size) const;
  std::unique_ptr<State> state_;
};

// The dtype of a C++ number.
template <class T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kF32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::kF64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::kU8;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::kI8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return DType::kU16;
  else if constexpr (std::is_same_v<T, int16_t>)
    return DType::kI16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return DType::kU32;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::kI32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return DType::kU64;
  else {
    static_assert(std::is_same_v<T, int64_t>, "a number that HDF5 datasets hold");
    return DType::kI64;
  }
}

template <class T>
void Hdf5File::ReadRows(const std::string& name, int64_t begin, int64_t end,
                        std::span<T> target) const {
  ReadAny(name, begin, end, DTypeOf<T>(), target.data(), target.size());
}

template <class T>
std::vector<T> Hdf5File::Read(const std::string& name) const {
  std::vector<T> values(static_cast<size_t>(Elements(name, sizeof(T))));
  ReadAny(name, 0, -1, DTypeOf<T>(), values.data(), values.size());
  return values;
}

template <class T>
void Hdf5File::Write(const std::string& name, std::span<const T> values,
                     const std::vector<int64_t>& shape, const Hdf5Storage& storage, bool growable) {
  WriteAny(name, DTypeOf<T>(), values.data(), values.size(), shape, storage, growable);
}

template <class T>
void Hdf5File::Append(const std::string& name, std::span<const T> values) {
  AppendAny(name, DTypeOf<T>(), values.data(), values.size());
}

}  // namespace orchard::io
