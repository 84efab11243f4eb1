#include "io/hdf5.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "io/hdf5_state.h"
#include "io/mapped_file.h"

namespace orchard::io {
namespace fs = std::filesystem;

namespace {

hid_t MemoryType(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return H5T_NATIVE_UINT8;
    case DType::kI8:
      return H5T_NATIVE_INT8;
    case DType::kU16:
      return H5T_NATIVE_UINT16;
    case DType::kI16:
      return H5T_NATIVE_INT16;
    case DType::kU32:
      return H5T_NATIVE_UINT32;
    case DType::kI32:
      return H5T_NATIVE_INT32;
    case DType::kU64:
      return H5T_NATIVE_UINT64;
    case DType::kI64:
      return H5T_NATIVE_INT64;
    case DType::kF32:
      return H5T_NATIVE_FLOAT;
    default:
      return H5T_NATIVE_DOUBLE;
  }
}

bool IsSigned(DType d) {
  return d == DType::kI8 || d == DType::kI16 || d == DType::kI32 || d == DType::kI64 || IsFloat(d);
}

// Bits of whole numbers that a type holds exactly.
int64_t IntegerBits(DType d) {
  if (d == DType::kF32) return 24;
  if (d == DType::kF64) return 53;
  return BitSize(d) - (IsSigned(d) ? 1 : 0);
}

bool Convertible(DType stored, DType wanted) {
  if (IsFloat(stored)) return IsFloat(wanted);
  return IntegerBits(wanted) >= IntegerBits(stored) && (IsSigned(wanted) || !IsSigned(stored));
}

std::vector<int64_t> Extent(hid_t space) {
  const int rank = H5Sget_simple_extent_ndims(space);
  std::vector<hsize_t> raw(static_cast<size_t>(std::max(rank, 0)));
  if (rank > 0) H5Sget_simple_extent_dims(space, raw.data(), nullptr);
  return {raw.begin(), raw.end()};
}

// Elements per row: the product of all axes but the first. -1 when it overflows.
int64_t RowElements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (size_t i = 1; i < shape.size(); ++i) {
    if (__builtin_mul_overflow(count, shape[i], &count)) return -1;
  }
  return count;
}

// Chunks that the whole shape makes, which does not overflow. 0: it is not stored in chunks.
int64_t Chunks(const Hdf5Info& info) {
  if (info.chunk.empty() || std::count(info.shape.begin(), info.shape.end(), 0) > 0) return 0;
  int64_t count = 1;
  for (size_t i = 0; i < info.shape.size(); ++i) {
    const int64_t chunk = std::max<int64_t>(info.chunk[i], 1);
    count *= info.shape[i] / chunk + (info.shape[i] % chunk != 0 ? 1 : 0);
  }
  return count;
}

// Those that the file holds; none where it cannot tell.
int64_t StoredChunks(hid_t dataset) {
  hsize_t count = 0;
  const Hdf5Handle all(H5Dget_space(dataset), H5Sclose);
  if (H5Dget_num_chunks(dataset, all, &count) < 0) {
    H5Eclear2(H5E_DEFAULT);
    return 0;
  }
  return static_cast<int64_t>(count);
}

Hdf5Handle LinkProperties() {
  Hdf5Handle properties(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(properties, 1);
  return properties;
}

std::vector<hsize_t> Sizes(const std::vector<int64_t>& shape) {
  return {shape.begin(), shape.end()};
}

// Chunks are stretches of whole rows.
std::vector<hsize_t> ChunkOf(const std::vector<int64_t>& shape, int64_t element_size,
                             const Hdf5Storage& storage, bool growable) {
  std::vector<hsize_t> chunk = Sizes(shape);
  for (hsize_t& n : chunk) n = std::max<hsize_t>(n, 1);
  int64_t rows = storage.chunk_rows;
  if (rows == 0) rows = (256 << 10) / std::max<int64_t>(1, RowElements(shape) * element_size);
  rows = std::max<int64_t>(rows, 1);
  chunk[0] = static_cast<hsize_t>(growable ? rows : std::min(rows, std::max<int64_t>(shape[0], 1)));
  return chunk;
}

}  // namespace

Hdf5File::Hdf5File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

Hdf5File Hdf5File::Open(const fs::path& path) {
  const MappedFile check(path);  // the plain errors: absent, a directory, no permission
  const QuietHdf5 quiet;
  auto state = std::make_unique<State>();
  state->path = path;
  state->file = {H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose};
  if (!state->file.ok()) state->Throw("not an HDF5 file, or a damaged one", "");
  return Hdf5File(std::move(state));
}

Hdf5File Hdf5File::Update(const fs::path& path) {
  const MappedFile check(path);
  const QuietHdf5 quiet;
  auto state = std::make_unique<State>();
  state->path = path;
  state->file = {H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose};
  if (!state->file.ok()) state->Throw("HDF5 file cannot be opened for writing", "");
  return Hdf5File(std::move(state));
}

Hdf5File Hdf5File::Create(const fs::path& path) {
  const QuietHdf5 quiet;
  auto state = std::make_unique<State>();
  state->path = path;
  const fs::path partial = path.string() + ".partial";
  const bool was_there = fs::exists(fs::symlink_status(partial));
  state->file = {H5Fcreate(partial.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose};
  if (!state->file.ok()) {
    if (!was_there) ::unlink(partial.c_str());
    throw ResourceError("cannot create the file (" + TakeHdf5Error() + ")", partial.string());
  }
  state->partial = partial;
  return Hdf5File(std::move(state));
}

bool Hdf5File::Has(const std::string& name) const {
  const QuietHdf5 quiet;
  return state_->HasLink(name);
}

std::vector<std::string> Hdf5File::List(const std::string& group) const {
  const QuietHdf5 quiet;
  if (!state_->HasLink(group)) throw DataError("no group of this name", state_->Where(group));
  const Hdf5Handle id(
      state_->Check(H5Gopen2(state_->file, group.c_str(), H5P_DEFAULT), "not a group", group),
      H5Gclose);
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
    return 0;
  };
  if (H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0)
    state_->Throw("group is damaged", group);
  return names;
}

Hdf5Info Hdf5File::Info(const std::string& name) const {
  const QuietHdf5 quiet;
  const Hdf5Handle dataset = state_->Dataset(name);
  const Hdf5Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
  const Hdf5Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  Hdf5Info info;
  info.shape = Extent(space);
  info.is_string = H5Tget_class(type) == H5T_STRING;
  if (!info.is_string) {
    const auto dtype = Hdf5NumberType(type);
    if (!dtype)
      throw DataError("dataset is neither numbers of a usual size nor strings",
                      state_->Where(name));
    info.dtype = *dtype;
  }
  if (H5Pget_layout(properties) == H5D_CHUNKED) {
    std::vector<hsize_t> chunk(info.shape.size());
    H5Pget_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
    info.chunk.assign(chunk.begin(), chunk.end());
  }
  return info;
}

int64_t Hdf5File::Elements(const std::string& name, size_t element_size) const {
  const QuietHdf5 quiet;
  const Hdf5Info info = Info(name);
  int64_t count = RowElements(info.shape), bytes = 0;
  if (!info.shape.empty() && __builtin_mul_overflow(count, info.shape[0], &count)) count = -1;
  const bool overflows =
      count < 0 || __builtin_mul_overflow(count, static_cast<int64_t>(element_size), &bytes);
  // A shape is a claim: chunks that were never written take no space in the file, and are filled in
  // one by one, for hours where a damaged shape has billions of them.
  constexpr int64_t kBelieved = int64_t{1} << 30;
  constexpr int64_t kMostCompression = 1100;  // deflate's is 1032
  const Hdf5Handle dataset = state_->Dataset(name);
  const auto stored = static_cast<int64_t>(H5Dget_storage_size(dataset));
  constexpr int64_t kBelievedChunks = 1 << 16;  // each takes the library tens of microseconds
  const bool many = !overflows && Chunks(info) > kBelievedChunks &&
                    Chunks(info) - StoredChunks(dataset) > kBelievedChunks;
  if (overflows || many || (bytes > kBelieved && bytes / kMostCompression > stored)) {
    throw DataError(fmt::format("dataset of shape [{}] has {} bytes in the file",
                                fmt::join(info.shape, ", "), stored),
                    state_->Where(name));
  }
  const int64_t memory = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  if (bytes > memory) {
    throw ResourceError(
        fmt::format("dataset of shape [{}] does not fit in memory", fmt::join(info.shape, ", ")),
        state_->Where(name));
  }
  return count;
}

void Hdf5File::ReadAny(const std::string& name, int64_t begin, int64_t end, DType dtype,
                       void* target, size_t count) const {
  const Hdf5Info info = Info(name);
  const QuietHdf5 quiet;
  if (info.is_string || !Convertible(info.dtype, dtype)) {
    throw DataError(fmt::format("dataset holds {}, which {} cannot hold",
                                info.is_string ? "strings" : Name(info.dtype), Name(dtype)),
                    state_->Where(name));
  }
  const Hdf5Handle dataset = state_->Dataset(name);
  const Hdf5Handle stored(H5Dget_space(dataset), H5Sclose);
  const int64_t rows = info.shape.empty() ? 1 : info.shape[0];
  if (end < 0) end = rows;
  const int64_t row = RowElements(info.shape);
  if (begin < 0 || begin > end || end > rows || row < 0 ||
      static_cast<int64_t>(count) != (end - begin) * row) {
    throw Error(ExitCode::kInternal,
                fmt::format("rows {} to {} of {} into {} elements", begin, end, rows, count),
                state_->Where(name));
  }
  if (count == 0) return;
  if (!info.shape.empty()) {
    std::vector<hsize_t> start(info.shape.size(), 0), extent = Sizes(info.shape);
    start[0] = static_cast<hsize_t>(begin);
    extent[0] = static_cast<hsize_t>(end - begin);
    state_->Check(
        H5Sselect_hyperslab(stored, H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr),
        "rows cannot be selected", name);
  }
  const hsize_t flat = count;
  const Hdf5Handle memory(H5Screate_simple(1, &flat, nullptr), H5Sclose);
  if (H5Dread(dataset, MemoryType(dtype), memory, stored, H5P_DEFAULT, target) < 0) {
    state_->Throw(fmt::format("rows {} to {} cannot be read", begin, end), name);
  }
}

void Hdf5File::WriteAny(const std::string& name, DType dtype, const void* values, size_t count,
                        const std::vector<int64_t>& shape, const Hdf5Storage& storage,
                        bool growable) {
  const QuietHdf5 quiet;
  const int64_t total = shape.empty() ? 1 : shape[0] * RowElements(shape);
  if (total != static_cast<int64_t>(count) || (growable && shape.empty())) {
    throw Error(ExitCode::kInternal,
                fmt::format("{} values for shape [{}]", count, fmt::join(shape, ", ")),
                state_->Where(name));
  }
  if (state_->HasLink(name)) throw DataError("dataset exists already", state_->Where(name));
  const std::vector<hsize_t> extent = Sizes(shape);
  std::vector<hsize_t> limit = extent;
  const Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (growable) limit[0] = H5S_UNLIMITED;
  if (!shape.empty() && (growable || count > 0)) {
    const std::vector<hsize_t> chunk = ChunkOf(shape, ByteSize(dtype), storage, growable);
    H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
    if (storage.shuffle) H5Pset_shuffle(properties);
    if (storage.gzip > 0) H5Pset_deflate(properties, static_cast<unsigned>(storage.gzip));
  }
  const Hdf5Handle space(shape.empty() ? H5Screate(H5S_SCALAR)
                                       : H5Screate_simple(static_cast<int>(extent.size()),
                                                          extent.data(), limit.data()),
                         H5Sclose);
  const Hdf5Handle links = LinkProperties();
  const Hdf5Handle dataset(state_->Check(H5Dcreate2(state_->file, name.c_str(), MemoryType(dtype),
                                                    space, links, properties, H5P_DEFAULT),
                                         "dataset cannot be made", name),
                           H5Dclose);
  if (count > 0 &&
      H5Dwrite(dataset, MemoryType(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    state_->Throw("dataset cannot be written", name);
  }
}

void Hdf5File::AppendAny(const std::string& name, DType dtype, const void* values, size_t count) {
  const Hdf5Info info = Info(name);
  const QuietHdf5 quiet;
  const int64_t row = RowElements(info.shape);
  if (info.is_string || info.dtype != dtype || info.shape.empty() || row <= 0 ||
      static_cast<int64_t>(count) % row != 0) {
    throw Error(ExitCode::kInternal,
                fmt::format("{} values of {} do not make rows of [{}] {}", count, Name(dtype),
                            fmt::join(info.shape, ", "), Name(info.dtype)),
                state_->Where(name));
  }
  const Hdf5Handle dataset = state_->Dataset(name);
  std::vector<hsize_t> start(info.shape.size(), 0), extent = Sizes(info.shape);
  const hsize_t rows = count / static_cast<size_t>(row);
  start[0] = extent[0];
  extent[0] += rows;
  if (H5Dset_extent(dataset, extent.data()) < 0) state_->Throw("dataset cannot grow", name);
  extent[0] = rows;
  const Hdf5Handle stored(H5Dget_space(dataset), H5Sclose);
  H5Sselect_hyperslab(stored, H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr);
  const hsize_t flat = count;
  const Hdf5Handle memory(H5Screate_simple(1, &flat, nullptr), H5Sclose);
  if (count > 0 && H5Dwrite(dataset, MemoryType(dtype), memory, stored, H5P_DEFAULT, values) < 0) {
    state_->Throw("rows cannot be written", name);
  }
}

void Hdf5File::MakeGroup(const std::string& name) {
  const QuietHdf5 quiet;
  if (state_->HasLink(name)) return;
  const Hdf5Handle links = LinkProperties();
  const Hdf5Handle group(
      state_->Check(H5Gcreate2(state_->file, name.c_str(), links, H5P_DEFAULT, H5P_DEFAULT),
                    "group cannot be made", name),
      H5Gclose);
}

void Hdf5File::WriteStrings(const std::string& name, std::span<const std::string> values) {
  const QuietHdf5 quiet;
  if (state_->HasLink(name)) throw DataError("dataset exists already", state_->Where(name));
  std::vector<const char*> pointers;
  for (const std::string& value : values) {
    if (value.find('\0') != value.npos)
      throw DataError("string with a zero byte cannot be written", state_->Where(name));
    pointers.push_back(value.c_str());
  }
  const hsize_t count = values.size();
  const Hdf5Handle type = Hdf5StringType(), links = LinkProperties(),
                   space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Hdf5Handle dataset(state_->Check(H5Dcreate2(state_->file, name.c_str(), type, space, links,
                                                    H5P_DEFAULT, H5P_DEFAULT),
                                         "dataset cannot be made", name),
                           H5Dclose);
  if (count > 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0)
    state_->Throw("strings cannot be written", name);
}

std::vector<std::string> Hdf5File::ReadStrings(const std::string& name) const {
  const Hdf5Info info = Info(name);
  const QuietHdf5 quiet;
  if (!info.is_string || info.shape.size() > 1)
    throw DataError("dataset is not a list of strings", state_->Where(name));
  const Hdf5Handle dataset = state_->Dataset(name);
  const Hdf5Handle stored(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose);
  const auto count =
      static_cast<size_t>(Elements(name, std::max<size_t>(H5Tget_size(stored), sizeof(char*))));
  std::vector<std::string> values;
  if (count == 0) return values;
  if (H5Tis_variable_str(stored) > 0) {
    std::vector<char*> pointers(count);
    const Hdf5Handle type(H5Tcopy(stored), H5Tclose);
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0)
      state_->Throw("strings cannot be read", name);
    for (const char* text : pointers) values.emplace_back(text ? text : "");
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  } else {
    const size_t width = H5Tget_size(stored);
    std::vector<char> raw(count * width);
    if (H5Dread(dataset, stored, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()) < 0)
      state_->Throw("strings cannot be read", name);
    for (size_t i = 0; i < count; ++i)
      values.emplace_back(raw.data() + i * width, ::strnlen(raw.data() + i * width, width));
  }
  return values;
}

void Hdf5File::Finish() {
  const QuietHdf5 quiet;
  if (H5Fflush(state_->file, H5F_SCOPE_LOCAL) < 0) state_->Throw("file cannot be written", "");
  state_->file.Reset();
  if (state_->partial.empty()) return;
  if (::rename(state_->partial.c_str(), state_->path.c_str()) != 0) {
    throw ResourceError(
        std::string("cannot rename the finished file (") + std::strerror(errno) + ")",
        state_->path.string());
  }
  state_->partial.clear();
}

}  // namespace orchard::io
