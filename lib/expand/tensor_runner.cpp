#include "expand/tensor_runner.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/hash.h"
#include "expand/lanes.h"
#include "expand/matrix_runner.h"
#include "expand/mix_runner.h"
#include "expand/op_sources.h"
#include "expand/stored_type.h"
#include "expand/vector_runner.h"

namespace orchard::expand {
namespace {

// The source's bytes as they are. Tensors that are not weights (positions, counters) are never
// anything else.
class BytesRunner : public BlockRunner {
 public:
  explicit BytesRunner(const OpSources& sources) : sources_(sources) {}

  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    std::vector<std::byte> copy;
    const auto bytes = sources_.Stored(0, begin, end - begin, copy);
    if (copy.empty()) return bytes;
    std::copy(copy.begin(), copy.end(), room.begin());
    return room;
  }

 private:
  const OpSources& sources_;
};

// The source in another float type.
template <class T>
class ConvertRunner : public BlockRunner {
 public:
  explicit ConvertRunner(const OpSources& sources) : sources_(sources) {}

  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    std::vector<ComputeOf<T>> values(end - begin);
    sources_.Load(0, begin, end - begin, values.data());
    T* out = reinterpret_cast<T*>(room.data());
    for (size_t i = 0; i < values.size(); ++i) out[i] = Narrow<T>(values[i]);
    return room;
  }

 private:
  const OpSources& sources_;
};

// A constant: neutral layers.
template <class T>
class FillRunner : public BlockRunner {
 public:
  explicit FillRunner(double value) : value_(Narrow<T>(static_cast<ComputeOf<T>>(value))) {}

  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    T* out = reinterpret_cast<T*>(room.data());
    std::fill(out, out + (end - begin), value_);
    return room;
  }

 private:
  T value_;
};

// Fresh initial weights.
template <class T>
class NoiseRunner : public BlockRunner {
 public:
  NoiseRunner(double sigma, Philox2 key)
      : unit_(static_cast<ComputeOf<T>>(sigma * kWeightNoiseUnit)), key_(key) {}

  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    PadLanes<T>(unit_, key_, static_cast<uint64_t>(begin), end - begin,
                reinterpret_cast<T*>(room.data()));
    return room;
  }

 private:
  ComputeOf<T> unit_;
  Philox2 key_;
};

template <class T>
std::unique_ptr<BlockRunner> MakeElementRunner(const OpSources& sources, const TensorOp& op,
                                               Philox2 key) {
  if (op.kind == OpKind::kFill) return std::make_unique<FillRunner<T>>(op.offset);
  if (op.kind == OpKind::kNoise) return std::make_unique<NoiseRunner<T>>(op.sigma, key);
  return std::make_unique<ConvertRunner<T>>(sources);
}

}  // namespace

TensorRunner::TensorRunner(const io::Checkpoint& source, const TensorOp& op, RunnerOptions options)
    : op_(op),
      key_(PhiloxKey(options.seed, Hash64(op.name))),
      sources_(std::make_unique<OpSources>(source, op_, options.allow_nonfinite)) {
  switch (op_.kind) {
    case OpKind::kMatrix: {
      auto matrix = MatrixRunner::Make(*sources_, op_, key_);
      matrix_ = matrix.get();
      runner_ = std::move(matrix);
      return;
    }
    case OpKind::kVector:
      runner_ = MakeVectorRunner(*sources_, op_, key_);
      return;
    case OpKind::kMix:
      runner_ = MakeMixRunner(*sources_, op_);
      return;
    case OpKind::kCopy:
      sources_->CheckElements(op_.elements());
      if ((*sources_)[0].dtype == op_.dtype) {
        runner_ = std::make_unique<BytesRunner>(*sources_);
        return;
      }
      break;
    default:
      break;
  }
  DispatchStored(op_.dtype, op_.name, [&](auto tag) {
    runner_ = MakeElementRunner<decltype(tag)>(*sources_, op_, key_);
  });
}

TensorRunner::~TensorRunner() = default;

std::span<const std::byte> TensorRunner::Block(int64_t begin, int64_t end,
                                               std::span<std::byte> room) const {
  return runner_->Block(begin, end, room);
}

void TensorRunner::Run(int64_t begin, int64_t end, std::span<std::byte> out) const {
  const std::span<const std::byte> bytes = Block(begin, end, out);
  if (bytes.data() != out.data()) std::copy(bytes.begin(), bytes.end(), out.begin());
}

double TensorRunner::largest_rounding() const { return runner_->largest_rounding(); }

}  // namespace orchard::expand
