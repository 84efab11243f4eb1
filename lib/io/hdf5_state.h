// What hdf5.cpp and hdf5_attributes.cpp share: HDF5's C handles as values, its error stack as a
// sentence, and an open file. Handles are int64_t here (hid_t of HDF5 1.10 and later), so that the
// C header stays in the .cpp files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "io/hdf5.h"

namespace orchard::io {

// A handle and the function that closes it. Negative: none.
class Hdf5Handle {
 public:
  using Close = int (*)(int64_t);
  Hdf5Handle() = default;
  Hdf5Handle(int64_t id, Close close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() { Reset(); }
  void Reset() {
    if (id_ >= 0 && close_) close_(id_);
    id_ = -1;
  }
  operator int64_t() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  int64_t id_ = -1;
  Close close_ = nullptr;
};

// HDF5 prints errors to stderr unless told; the setting belongs to the calling thread.
class QuietHdf5 {
 public:
  QuietHdf5();
  ~QuietHdf5();
  QuietHdf5(const QuietHdf5&) = delete;

 private:
  int (*function_)(int64_t, void*) = nullptr;
  void* data_ = nullptr;
};

// What the innermost failed call of this thread says, and empties the stack. "" when there is
// nothing.
std::string TakeHdf5Error();

// The dtype of a stored type; nothing for what this interface does not read.
std::optional<DType> Hdf5NumberType(int64_t type);

// UTF-8 of any length.
Hdf5Handle Hdf5StringType();

struct Hdf5File::State {
  std::filesystem::path path;
  std::filesystem::path partial;  // where a new file is until it is finished; else empty
  Hdf5Handle file;

  ~State();
  std::string Where(const std::string& name) const;
  // `what` went wrong with `name`: the error with HDF5's reason; a full disk is told apart.
  [[noreturn]] void Throw(const std::string& what, const std::string& name) const;
  // `handle`, or the error.
  int64_t Check(int64_t handle, const std::string& what, const std::string& name) const;
  Hdf5Handle Dataset(const std::string& name) const;
  Hdf5Handle Object(const std::string& name) const;
  bool HasLink(const std::string& name) const;
};

}  // namespace orchard::io
