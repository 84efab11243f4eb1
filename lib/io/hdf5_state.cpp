#include "io/hdf5_state.h"

#include <hdf5.h>
#include <unistd.h>

#include <type_traits>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::io {

static_assert(std::is_same_v<hid_t, int64_t> && std::is_same_v<herr_t, int>);

QuietHdf5::QuietHdf5() {
  // Everything is closed here by itself; what the library does at exit to objects that a damaged
  // file has left half open ends in a complaint of hundreds of lines.
  static const int once = H5dont_atexit();
  static_cast<void>(once);
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietHdf5::~QuietHdf5() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

std::string TakeHdf5Error() {
  std::string text;
  const auto keep = [](unsigned, const H5E_error2_t* error, void* data) -> herr_t {
    auto& out = *static_cast<std::string*>(data);
    if (out.empty() && error->desc) out = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep, &text);  // upward: the cause comes first
  H5Eclear2(H5E_DEFAULT);
  return Printable(text);
}

std::optional<DType> Hdf5NumberType(int64_t type) {
  const size_t size = H5Tget_size(type);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_FLOAT && size == 4) return DType::kF32;
  if (kind == H5T_FLOAT && size == 8) return DType::kF64;
  // h5py stores booleans as an enumeration over one byte.
  if (kind == H5T_ENUM && size == 1) return DType::kU8;
  if (kind != H5T_INTEGER) return std::nullopt;
  const bool negative = H5Tget_sign(type) != H5T_SGN_NONE;
  if (size == 1) return negative ? DType::kI8 : DType::kU8;
  if (size == 2) return negative ? DType::kI16 : DType::kU16;
  if (size == 4) return negative ? DType::kI32 : DType::kU32;
  if (size == 8) return negative ? DType::kI64 : DType::kU64;
  return std::nullopt;
}

Hdf5Handle Hdf5StringType() {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Hdf5File::State::~State() {
  const QuietHdf5 quiet;  // what a full disk left unwritten is tried once more
  file.Reset();
  if (!partial.empty()) ::unlink(partial.c_str());
}

std::string Hdf5File::State::Where(const std::string& name) const {
  return path.string() + (name.empty() ? "" : ": " + Printable(name));
}

void Hdf5File::State::Throw(const std::string& what, const std::string& name) const {
  const std::string reason = TakeHdf5Error();
  const std::string text = reason.empty() ? what : what + " (" + reason + ")";
  if (reason.find("No space left") != reason.npos || reason.find("errno = 28") != reason.npos) {
    throw ResourceError("disk is full", Where(name), "free some disk space");
  }
  throw DataError(text, Where(name));
}

int64_t Hdf5File::State::Check(int64_t handle, const std::string& what,
                               const std::string& name) const {
  if (handle < 0) Throw(what, name);
  return handle;
}

Hdf5Handle Hdf5File::State::Dataset(const std::string& name) const {
  if (!HasLink(name)) throw DataError("no dataset of this name", Where(name));
  return {Check(H5Dopen2(file, name.c_str(), H5P_DEFAULT), "not a dataset, or a damaged one", name),
          H5Dclose};
}

Hdf5Handle Hdf5File::State::Object(const std::string& name) const {
  if (!HasLink(name)) throw DataError("no object of this name", Where(name));
  return {Check(H5Oopen(file, name.c_str(), H5P_DEFAULT), "object cannot be opened", name),
          H5Oclose};
}

// H5Lexists answers only for the last part of a path, and fails when an earlier one is absent.
bool Hdf5File::State::HasLink(const std::string& name) const {
  if (name.find_first_not_of('/') == name.npos) return !name.empty();
  for (size_t slash = name.find('/', 1);; slash = name.find('/', slash + 1)) {
    if (H5Lexists(file, name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) {
      H5Eclear2(H5E_DEFAULT);
      return false;
    }
    if (slash == name.npos || slash + 1 == name.size()) return true;
  }
}

}  // namespace orchard::io
