#include "expand/gpu_expander.h"

#include "base/error.h"
#include "expand/matrix_runner.h"

#if ORCHARD_HAVE_CUDA
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/base/device_memory.h"
#include "cuda/expand/expand_matrix.h"
#include "expand/expand_matrix.h"
#endif

namespace orchard::expand {

bool GpuExpander::Takes(const TensorOp& op) {
  if (op.kind != OpKind::kMatrix || op.elements() == 0) return false;
  if (op.columns->identity() && op.split != Split::kCancel) return false;
  return op.row_pad != RowPad::kNoise || op.rows->pads() == 0;  // rows of noise have no source
}

#if ORCHARD_HAVE_CUDA

namespace {

// Of the device's free memory, what one expander may take: another may work beside it.
constexpr size_t kShareOfMemory = 3;

// Device memory that grows to the largest request.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer() { cudaFree(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  size_t capacity() const { return capacity_; }

  void* For(size_t bytes, const std::string& tensor) {
    if (bytes > capacity_) {
      cudaFree(data_);
      data_ = nullptr;
      capacity_ = 0;
      cuda::CheckCuda(cudaMalloc(&data_, bytes), "device memory for tensor " + tensor);
      capacity_ = bytes;
    }
    return data_;
  }

  // A copy of `values` that stays until the next call. Null when there are none.
  template <class T>
  const T* Hold(std::span<const T> values, cudaStream_t stream, const std::string& tensor) {
    if (values.empty()) return nullptr;
    void* data = For(values.size_bytes(), tensor);
    cuda::CheckCuda(
        cudaMemcpyAsync(data, values.data(), values.size_bytes(), cudaMemcpyHostToDevice, stream),
        "copy to the device");
    return static_cast<const T*>(data);
  }

 private:
  void* data_ = nullptr;
  size_t capacity_ = 0;
};

constexpr size_t kPage = 4096;

// Pinned host memory, and an event that tells when the device is done with it.
class Staging {
 public:
  // Room for `bytes`, rounded up to pages, at any place within a page.
  explicit Staging(size_t bytes) : size_((bytes + kPage - 1) / kPage * kPage) {
    cuda::CheckCuda(cudaHostAlloc(&data_, size_ + kPage, cudaHostAllocDefault),
                    "pinned host memory");
    cuda::CheckCuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "event");
  }
  ~Staging() {
    cudaFreeHost(data_);
    if (done_) cudaEventDestroy(done_);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `count` bytes, `place` bytes after the beginning of a page.
  std::span<std::byte> bytes(size_t count, size_t place = 0) {
    return {static_cast<std::byte*>(data_) + place, count};
  }
  size_t size() const { return size_; }
  void Record(cudaStream_t stream) { cuda::CheckCuda(cudaEventRecord(done_, stream), "event"); }
  void Wait() { cuda::CheckCuda(cudaEventSynchronize(done_), "waiting for the device"); }

 private:
  void* data_ = nullptr;
  size_t size_;
  cudaEvent_t done_ = nullptr;
};

FloatType StoredFloat(io::DType dtype) {
  switch (dtype) {
    case io::DType::kBF16:
      return FloatType::kBF16;
    case io::DType::kF16:
      return FloatType::kF16;
    case io::DType::kF64:
      return FloatType::kF64;
    default:
      return FloatType::kF32;
  }
}

PadFill FillOf(ColumnPad pad) {
  switch (pad) {
    case ColumnPad::kNoise:
      return PadFill::kNoise;
    case ColumnPad::kCentredNoise:
      return PadFill::kCentredNoise;
    default:
      return PadFill::kZero;
  }
}

// Units in which the source is read (rows, or inputs when transposed), and the bytes of one.
struct SourceShape {
  int64_t units, unit_bytes;
};
SourceShape SourceOf(const TensorOp& op) {
  const int64_t width = io::ByteSize(op.dtype);
  if (op.transposed) return {op.columns->source_size(), op.rows->source_size() * width};
  return {op.rows->source_size(), op.columns->source_size() * op.passengers * width};
}

}  // namespace

struct GpuExpander::State {
  State(int device, int64_t staging_bytes)
      : device(device), staging{Staging(staging_bytes), Staging(staging_bytes)} {
    cuda::CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  }
  ~State() {
    if (stream) cudaStreamDestroy(stream);
  }

  size_t Room() const {
    size_t free = 0, total = 0;
    cuda::CheckCuda(cudaMemGetInfo(&free, &total), "free device memory");
    return (free + source.capacity() + target.capacity()) / kShareOfMemory;
  }

  // The whole source, read into one staging buffer while the other one travels.
  void Upload(MatrixRunner& matrix, const TensorOp& op) {
    const SourceShape shape = SourceOf(op);
    auto* to = static_cast<std::byte*>(
        source.For(static_cast<size_t>(shape.units * shape.unit_bytes), op.name));
    const int64_t step = std::max<int64_t>(
        1, static_cast<int64_t>(staging[0].size()) / std::max<int64_t>(1, shape.unit_bytes));
    std::vector<std::byte> large;  // a unit that no staging buffer holds
    int turn = 0;
    for (int64_t at = 0; at < shape.units; at += step, turn ^= 1) {
      const int64_t end = std::min(shape.units, at + step);
      const size_t bytes = static_cast<size_t>((end - at) * shape.unit_bytes);
      std::span<std::byte> room;
      if (bytes <= staging[turn].size()) {
        staging[turn].Wait();
        room = staging[turn].bytes(bytes);
      } else {
        large.resize(bytes);
        room = large;
      }
      matrix.SourceRows(at, end, room);
      cuda::CheckCuda(cudaMemcpyAsync(to + at * shape.unit_bytes, room.data(), bytes,
                                      cudaMemcpyHostToDevice, stream),
                      "copy to the device");
      staging[turn].Record(stream);
      if (!large.empty()) staging[turn].Wait();
    }
  }

  // `bytes` of the target, which begin at `offset` of the tensor, back to the host piece by piece:
  // one is written while the next one travels.
  void Download(const std::byte* from, int64_t bytes, int64_t offset, uint64_t file_offset,
                const std::function<void(int64_t, std::span<const std::byte>)>& write) {
    const int64_t step = static_cast<int64_t>(staging[0].size());  // whole pages
    const size_t place = (file_offset + static_cast<uint64_t>(offset)) % kPage;
    const auto piece = [&](int64_t at, int turn) {
      return staging[turn].bytes(static_cast<size_t>(std::min(step, bytes - at)), place);
    };
    const auto fetch = [&](int64_t at, int turn) {
      const auto room = piece(at, turn);
      cuda::CheckCuda(
          cudaMemcpyAsync(room.data(), from + at, room.size(), cudaMemcpyDeviceToHost, stream),
          "copy from the device");
      staging[turn].Record(stream);
    };
    fetch(0, 0);
    int turn = 0;
    for (int64_t at = 0; at < bytes; at += step, turn ^= 1) {
      if (at + step < bytes) fetch(at + step, turn ^ 1);
      staging[turn].Wait();
      write(offset + at, piece(at, turn));
    }
  }

  int device;
  cudaStream_t stream = nullptr;
  std::array<Staging, 2> staging;
  DeviceBuffer source, target, mean, rows, column_first, column_targets, pads;
};

GpuExpander::GpuExpander(int device, int64_t staging_bytes) {
  cuda::CheckCuda(cudaSetDevice(device), "CUDA device " + std::to_string(device));
  state_ = std::make_unique<State>(device, std::max<int64_t>(staging_bytes, 1 << 16));
}

GpuExpander::~GpuExpander() = default;

bool GpuExpander::Fits(const TensorOp& op) const {
  const SourceShape shape = SourceOf(op);
  const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
  return static_cast<size_t>(shape.units * shape.unit_bytes + unit_bytes) <= state_->Room();
}

void GpuExpander::Run(const TensorRunner& runner, const TensorOp& op, uint64_t file_offset,
                      const std::function<void(int64_t, std::span<const std::byte>)>& write) {
  State& s = *state_;
  cuda::CheckCuda(cudaSetDevice(s.device), "CUDA device");
  MatrixRunner& matrix = *runner.matrix();
  const ColumnTables tables = MakeColumnTables(op.columns->source_size(), op.columns->entries());
  const std::vector<int32_t> rows(op.rows->entries().begin(), op.rows->entries().end());
  ExpandMatrixArgs args;
  args.name = op.name.c_str();
  args.type = StoredFloat(op.dtype);
  args.transposed = op.transposed;
  args.passengers = op.passengers;
  args.source_rows = op.rows->source_size();
  args.source_columns = op.columns->source_size();
  args.target_rows = op.rows->size();
  args.target_columns = op.columns->size();
  args.split = op.split;
  args.pad_fill = FillOf(op.column_pad);
  args.sigma = matrix.sigma();
  args.pad_sigma = op.pad_sigma;
  args.key = runner.key();
  args.mean_row = s.mean.Hold(matrix.MeanRow(), s.stream, op.name);
  args.rows = s.rows.Hold(std::span<const int32_t>(rows), s.stream, op.name);
  args.column_first = s.column_first.Hold(std::span(tables.first), s.stream, op.name);
  args.column_targets = s.column_targets.Hold(std::span(tables.targets), s.stream, op.name);
  args.pads = s.pads.Hold(std::span(tables.pads), s.stream, op.name);
  args.pad_count = static_cast<int64_t>(tables.pads.size());
  for (const int64_t copies : op.columns->copies()) {
    args.most_copies = std::max(args.most_copies, static_cast<int32_t>(copies));
  }
  s.Upload(matrix, op);
  args.source = s.source.For(0, op.name);

  // All units at once where the device has room: a transposed matrix is read again for each launch.
  const int64_t units = op.block_units(), unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
  const int64_t room = static_cast<int64_t>(s.Room() - std::min(s.Room(), s.source.capacity()));
  const int64_t step = std::clamp<int64_t>(room / unit_bytes, 1, units);
  for (int64_t at = 0; at < units; at += step) {
    args.first_unit = at;
    args.units = std::min(step, units - at);
    const int64_t bytes = args.units * unit_bytes;
    args.target = s.target.For(static_cast<size_t>(bytes), op.name);
    cuda::ExpandMatrix(args, s.stream);
    s.Download(static_cast<const std::byte*>(args.target), bytes, at * unit_bytes, file_offset,
               write);
  }
}

#else  // no kernels in this build

struct GpuExpander::State {};

GpuExpander::GpuExpander(int, int64_t) {
  throw ResourceError("this build has no CUDA kernels", "--device cuda",
                      "use --device cpu, or build with ORCHARD_CUDA=on");
}
GpuExpander::~GpuExpander() = default;
bool GpuExpander::Fits(const TensorOp&) const { return false; }
void GpuExpander::Run(const TensorRunner&, const TensorOp&, uint64_t,
                      const std::function<void(int64_t, std::span<const std::byte>)>&) {}

#endif

}  // namespace orchard::expand
