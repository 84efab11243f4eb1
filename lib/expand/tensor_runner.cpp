#include "expand/tensor_runner.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/philox.h"
#include "expand/lanes.h"

namespace orchard::expand {
namespace {

// Calls function(T{}) with the C++ type of a stored dtype.
template <class Function>
void Dispatch(io::DType dtype, const std::string& name, Function&& function) {
  switch (dtype) {
    case io::DType::kBF16:
      return function(BFloat16{});
    case io::DType::kF16:
      return function(Float16{});
    case io::DType::kF32:
      return function(float{});
    case io::DType::kF64:
      return function(double{});
    default:
      throw ImpossibleError("cannot compute with dtype " + std::string(io::Name(dtype)),
                            "tensor " + name, "dequantise to F32, BF16 or F16 first");
  }
}

template <class T>
constexpr GridFormat kGridOf = kGridF32;
template <>
constexpr GridFormat kGridOf<BFloat16> = kGridBf16;
template <>
constexpr GridFormat kGridOf<Float16> = kGridF16;
template <>
constexpr GridFormat kGridOf<double> = kGridF64;

// Stored values of any float dtype as Real.
template <class Stored, class Real>
void WidenRun(const Stored* stored, int64_t count, Real* values) {
  if constexpr (std::is_same_v<Stored, Real>) {
    memcpy(values, stored, static_cast<size_t>(count) * sizeof(Real));
  } else if constexpr (std::is_same_v<Real, float> && sizeof(Stored) == 2) {
    WidenLanes(stored, count, values);
  } else {
    for (int64_t i = 0; i < count; ++i) values[i] = static_cast<Real>(Widen(stored[i]));
  }
}

template <class T, class Real>
void NarrowRun(const Real* values, int64_t count, T* stored) {
  if constexpr (std::is_same_v<T, Real>) {
    if (values != stored) memcpy(stored, values, static_cast<size_t>(count) * sizeof(T));
  } else {
    NarrowLanes(values, count, stored);
  }
}

int64_t Product(std::span<const int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

const char* Name(Exactness exactness) {
  switch (exactness) {
    case Exactness::kExact:
      return "A";
    case Exactness::kNormRounded:
      return "A'";
    case Exactness::kRounded:
      return "B";
    default:
      return "C";
  }
}

int64_t TensorOp::elements() const { return Product(shape); }

int64_t TensorOp::block_units() const {
  if (kind == OpKind::kMix) return transposed ? mix_columns->size() : mix_rows->size();
  if (kind != OpKind::kMatrix) return elements();
  return transposed ? columns->size() : rows->size();
}

// The sources of an op, found and checked.
class TensorRunner::Worker {
 public:
  Worker(const io::Checkpoint& source, const TensorOp& op, RunnerOptions options)
      : op_(op),
        options_(options),
        source_(source),
        key_(PhiloxKey(options.seed, Hash64(op.name))) {
    for (const std::string& name : op.sources) {
      const io::TensorInfo* info = source.Find(name);
      if (!info) throw DataError("tensor is missing", "tensor " + name);
      infos_.push_back(info);
    }
    if (!op.mean_weights.empty()) {
      weights_ = source.Find(op.mean_weights);
      if (!weights_) throw DataError("tensor is missing", "tensor " + op.mean_weights);
    }
  }
  virtual ~Worker() = default;
  virtual void Run(int64_t begin, int64_t end, std::span<std::byte> out) = 0;
  double largest_rounding() const { return largest_rounding_.load(); }

 protected:
  // Throws unless every source has this many elements.
  void CheckElements(int64_t expected) const {
    for (const io::TensorInfo* info : infos_) {
      if (info->elements() != expected) {
        throw DataError("has " + std::to_string(info->elements()) +
                            " elements where the configuration gives " + std::to_string(expected),
                        source_.Where(*info));
      }
    }
  }

  void CheckFinite(bool finite, const io::TensorInfo& info, int64_t first, int64_t count) const {
    if (finite || options_.allow_nonfinite) return;
    throw DataError("NaN or infinity in elements " + std::to_string(first) + " to " +
                        std::to_string(first + count - 1),
                    source_.Where(info), "--allow-nonfinite lets it pass");
  }

  // `count` elements of a source from `first` on.
  template <class Real>
  void Load(const io::TensorInfo& info, int64_t first, int64_t count, Real* values) const {
    const std::byte* bytes = source_.Bytes(info).data();
    Dispatch(info.dtype, info.name, [&](auto tag) {
      using Stored = decltype(tag);
      WidenRun(reinterpret_cast<const Stored*>(bytes) + first, count, values);
    });
    CheckFinite(AllFinite(values, count), info, first, count);
  }

  void NoteRounding(double exact, double stored) {
    if (exact == 0 || !std::isfinite(exact)) return;
    const double relative = std::abs(stored - exact) / std::abs(exact);
    double seen = largest_rounding_.load();
    while (relative > seen && !largest_rounding_.compare_exchange_weak(seen, relative)) {
    }
  }

  TensorOp op_;
  RunnerOptions options_;
  const io::Checkpoint& source_;
  Philox2 key_;
  std::vector<const io::TensorInfo*> infos_;
  const io::TensorInfo* weights_ = nullptr;
  std::atomic<double> largest_rounding_ = 0;
};

namespace {

using Worker = TensorRunner::Worker;

// T: stored type of the target. Real: the arithmetic's.
template <class T>
class TypedWorker : public Worker {
  using Real = ComputeOf<T>;

 public:
  TypedWorker(const io::Checkpoint& source, const TensorOp& op, RunnerOptions options)
      : Worker(source, op, options) {
    settings_ = MakeSplitSettings<Real>(kGridOf<T>, op.sigma);
    pad_unit_ = static_cast<Real>(op.pad_sigma * kNoiseUnit);
    if (op.kind == OpKind::kCopy) CheckElements(op.elements());
    if (op.kind == OpKind::kVector) CheckElements(op.rows->source_size() / SourceCount());
    if (op.kind == OpKind::kMatrix) PrepareMatrix();
    if (op.kind == OpKind::kMix) {
      CheckElements(op.mix_rows->source_size() * op.mix_columns->source_size() * op.passengers);
    }
  }

  void Run(int64_t begin, int64_t end, std::span<std::byte> out) override {
    T* typed = reinterpret_cast<T*>(out.data());
    switch (op_.kind) {
      case OpKind::kCopy:
        return RunCopy(begin, end, typed);
      case OpKind::kVector:
        return RunVector(begin, end, typed);
      case OpKind::kFill:
        std::fill(typed, typed + (end - begin), orchard::Narrow<T>(static_cast<Real>(op_.offset)));
        return;
      case OpKind::kNoise:
        return RunNoise(begin, end, typed);
      case OpKind::kMix:
        return RunMix(begin, end, typed);
      case OpKind::kMatrix:
        PrepareRelativeNoise();
        return op_.transposed ? RunTransposed(begin, end, typed) : RunRows(begin, end, typed);
    }
  }

 private:
  int64_t SourceCount() const { return std::max<int64_t>(1, static_cast<int64_t>(infos_.size())); }

  void PrepareMatrix() {
    row_sources_ = op_.rows->source_size() / SourceCount();
    row_elements_ =
        op_.columns->source_size() * op_.passengers;  // of a source row [in, passengers]
    CheckElements(row_sources_ * row_elements_);
    for (int64_t n : op_.columns->copies()) {
      if (n > kMaxCopies) {
        throw ImpossibleError("more than " + std::to_string(kMaxCopies) + " copies of one unit",
                              "tensor " + op_.name);
      }
    }
    plain_columns_ = op_.columns->identity() && op_.split != Split::kCancel;
    if (!op_.transposed) return;
    copy_targets_.resize(op_.columns->identity() ? 0 : op_.columns->source_size());
    for (int64_t c = 0; c < op_.columns->size() && !copy_targets_.empty(); ++c) {
      if ((*op_.columns)[c] != kPad) copy_targets_[(*op_.columns)[c]].push_back(c);
    }
  }

  // ---- copies, vectors, noise
  // --------------------------------------------------------------------------------------------------

  void RunCopy(int64_t begin, int64_t end, T* out) {
    std::vector<Real> values(end - begin);
    Load(*infos_[0], begin, end - begin, values.data());
    NarrowRun(values.data(), end - begin, out);
  }

  void RunNoise(int64_t begin, int64_t end, T* out) {
    Real values[kLanes];
    for (int64_t at = begin; at < end; at += kLanes) {
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, end - at));
      PadLanes(settings_.noise, key_, at, lanes, values);
      NarrowRun(values, lanes, out + (at - begin));
    }
  }

  // One pass over the source for its root mean square, summed in f64 in order: the same bits
  // whatever the blocks.
  void PrepareRelativeNoise() {
    if (op_.relative_sigma == 0) return;
    std::call_once(noise_once_, [&] {
      constexpr int64_t kChunk = 1 << 15;
      std::vector<double> values(kChunk);
      double sum = 0;
      int64_t count = 0;
      for (const io::TensorInfo* info : infos_) {
        for (int64_t at = 0; at < info->elements(); at += kChunk) {
          const int64_t n = std::min(kChunk, info->elements() - at);
          Load(*info, at, n, values.data());
          for (int64_t i = 0; i < n; ++i) sum += values[i] * values[i];
          count += n;
        }
      }
      const double power = count > 0 ? sum / static_cast<double>(count) : 0;
      const double sigma = op_.relative_sigma * std::abs(op_.scale) * std::sqrt(power);
      settings_ = MakeSplitSettings<Real>(kGridOf<T>, std::isfinite(sigma) ? sigma : 0);
    });
  }

  // ---- mixes

  // Stored rows [begin, end): each a sum of stored source rows, mixed along the stored columns.
  void RunMix(int64_t begin, int64_t end, T* out) {
    const MixMap& outer = op_.transposed ? *op_.mix_columns : *op_.mix_rows;
    const MixMap& inner = op_.transposed ? *op_.mix_rows : *op_.mix_columns;
    const int64_t length = inner.source_size() * op_.passengers;
    std::vector<double> source(length), sum(length);
    for (int64_t t = begin; t < end; ++t) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t s = 0; s < infos_.size(); ++s) {
        for (const MixTerm& term : outer[t]) {
          Load(*infos_[s], term.source * length, length, source.data());
          const double weight = op_.source_weights[s] * term.weight;
          for (int64_t i = 0; i < length; ++i) sum[i] += weight * source[i];
        }
      }
      T* row = out + (t - begin) * inner.size() * op_.passengers;
      for (int64_t c = 0; c < inner.size(); ++c) {
        for (int64_t p = 0; p < op_.passengers; ++p) {
          double value = 0;
          for (const MixTerm& term : inner[c])
            value += term.weight * sum[term.source * op_.passengers + p];
          row[c * op_.passengers + p] = orchard::Narrow<T>(static_cast<Real>(value));
        }
      }
    }
  }

  // Vectors are small: each call reads the whole source.
  void RunVector(int64_t begin, int64_t end, T* out) {
    const int64_t n = op_.rows->source_size() / SourceCount();
    std::vector<double> source(n * SourceCount());
    for (size_t s = 0; s < infos_.size(); ++s) Load(*infos_[s], 0, n, source.data() + s * n);
    const double mean = VectorMean(std::span(source).first(n));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t u = (*op_.rows)[t];
      const double x = u == kPad ? VectorPadding(t, mean) : op_.scale * source[u] + op_.offset;
      out[t - begin] = orchard::Narrow<T>(static_cast<Real>(x));
      NoteRounding(x, static_cast<double>(Widen(out[t - begin])));
    }
  }

  double VectorMean(std::span<const double> source) {
    if (op_.vector_pad != VectorPad::kMean || source.empty()) return 0;
    const std::vector<double> weights = MeanWeights(static_cast<int64_t>(source.size()));
    double sum = 0;
    for (size_t i = 0; i < source.size(); ++i) sum += weights[i] * source[i];
    return op_.scale * sum / static_cast<double>(source.size()) + op_.offset;
  }

  double VectorPadding(int64_t t, double mean) const {
    switch (op_.vector_pad) {
      case VectorPad::kMean:
        return mean;
      case VectorPad::kOne:
        return 1;
      case VectorPad::kUniform: {
        const uint32_t word = PhiloxAt(key_, t).word[0];
        return (static_cast<double>(word) + 0.5 - 2147483648.0) / 2147483648.0 * op_.pad_scale +
               op_.pad_offset;
      }
      default:
        return 0;
    }
  }

  std::vector<double> MeanWeights(int64_t n) const {
    std::vector<double> weights(n, 1.0);
    if (weights_) Load(*weights_, 0, n, weights.data());
    return weights;
  }

  // ---- matrices
  // ----------------------------------------------------------------------------------------------------------------

  // What the split is applied to must be a storage number: scale, then round.
  void ScaleAndRound(Real* values, int64_t count, io::DType source_dtype) const {
    if (op_.scale == 1 && source_dtype == op_.dtype) return;
    const Real scale = static_cast<Real>(op_.scale);
    for (int64_t i = 0; i < count; ++i) values[i] = Widen(orchard::Narrow<T>(values[i] * scale));
  }

  // Source row of unit `u` [in, passengers].
  void LoadRow(int64_t u, Real* values) const {
    const io::TensorInfo& info = *infos_[u / row_sources_];
    Load(info, u % row_sources_ * row_elements_, row_elements_, values);
    ScaleAndRound(values, row_elements_, info.dtype);
  }

  // Mean over the source rows, accumulated in f64 in row order, rounded to storage.
  const std::vector<Real>& MeanRow() {
    std::call_once(mean_once_, [&] {
      const std::vector<double> weights = MeanWeights(row_sources_);
      std::vector<double> sum(row_elements_, 0.0), row(row_elements_);
      for (int64_t r = 0; r < row_sources_; ++r) {
        Load(*infos_[0], r * row_elements_, row_elements_, row.data());
        for (int64_t j = 0; j < row_elements_; ++j) sum[j] += weights[r] * row[j];
      }
      mean_row_.resize(row_elements_);
      for (int64_t j = 0; j < row_elements_; ++j) {
        const double mean = op_.scale * sum[j] / static_cast<double>(row_sources_);
        mean_row_[j] = Widen(orchard::Narrow<T>(static_cast<Real>(mean)));
        NoteRounding(mean, static_cast<double>(mean_row_[j]));
      }
    });
    return mean_row_;
  }

  // Stored [out, in, passengers].
  void RunRows(int64_t begin, int64_t end, T* out) {
    const int64_t width = op_.columns->size() * op_.passengers;
    std::vector<Real> source(row_elements_), target(width);
    int64_t loaded = -2;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t u = (*op_.rows)[i];
      if (u != loaded) {
        if (u != kPad) {
          LoadRow(u, source.data());
        } else if (op_.row_pad == RowPad::kMean) {
          source = MeanRow();
        } else {
          std::fill(source.begin(), source.end(), Real(0));
        }
        loaded = u;
      }
      T* row = out + (i - begin) * width;
      if (u == kPad && op_.row_pad == RowPad::kNoise) {
        NoiseRow(static_cast<uint64_t>(i) * width, width, target.data());
        NarrowRun(target.data(), width, row);
        continue;
      }
      if (plain_columns_) {
        NarrowRun(source.data(), width, row);
        continue;
      }
      SplitRow(i, source.data(), target.data());
      NarrowRun(target.data(), width, row);
    }
  }

  void NoiseRow(uint64_t base, int64_t width, Real* target) {
    for (int64_t at = 0; at < width; at += kLanes) {
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, width - at));
      PadLanes(pad_unit_, key_, base + at, lanes, target + at);
    }
  }

  void SplitRow(int64_t i, const Real* source, Real* target) {
    const uint64_t row_base = static_cast<uint64_t>(i) * op_.columns->size() * op_.passengers;
    uint64_t base[kMaxCopies];
    Real* parts[kMaxCopies];
    for (const CopyRun& run : op_.columns->copy_runs()) {
      const int copies = static_cast<int>(run.targets.size());
      const int64_t length = run.length * op_.passengers;
      for (int64_t at = 0; at < length; at += kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(kLanes, length - at));
        for (int k = 0; k < copies; ++k) {
          const int64_t column = run.targets[k] * op_.passengers + at;
          base[k] = row_base + column;
          parts[k] = target + column;
        }
        SplitLanes(op_.split, settings_, key_, copies, base,
                   source + run.source * op_.passengers + at, lanes, parts);
      }
    }
    PadColumns(row_base, target);
  }

  void PadColumns(uint64_t row_base, Real* target) {
    if (op_.columns->pads() == 0) return;
    if (op_.column_pad == ColumnPad::kCentredNoise) return CentredPadColumns(row_base, target);
    for (const PadRun& run : op_.columns->pad_runs()) {
      const int64_t first = run.target * op_.passengers, length = run.length * op_.passengers;
      if (op_.column_pad == ColumnPad::kZero) {
        std::fill(target + first, target + first + length, Real(0));
        continue;
      }
      for (int64_t at = 0; at < length; at += kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(kLanes, length - at));
        PadLanes(pad_unit_, key_, row_base + first + at, lanes, target + first + at);
      }
    }
  }

  void CentredPadColumns(uint64_t row_base, Real* target) {
    for (int64_t p = 0; p < op_.passengers; ++p) {
      int64_t sum = 0;
      const auto for_each = [&](auto&& visit) {
        for (const PadRun& run : op_.columns->pad_runs()) {
          for (int64_t c = run.target; c < run.target + run.length; ++c) {
            const int64_t at = c * op_.passengers + p;
            visit(at, NoiseInteger(PhiloxAt(key_, row_base + at)));
          }
        }
      };
      for_each([&](int64_t, int32_t noise) { sum += noise; });
      for_each([&](int64_t at, int32_t noise) {
        target[at] = CentredPadElement(pad_unit_, noise, sum, op_.columns->pads());
      });
    }
  }

  // Stored [in, out]: a stored row is one input unit. Its partners' noise is drawn again for each
  // copy, so that rows stay independent of each other.
  void RunTransposed(int64_t begin, int64_t end, T* out) {
    const int64_t width = op_.rows->size();
    std::vector<Real> source(row_sources_ * SourceCount()), gathered(width), target(width);
    int64_t loaded = -2;
    for (int64_t c = begin; c < end; ++c) {
      T* row = out + (c - begin) * width;
      const int64_t j = (*op_.columns)[c];
      if (j == kPad) {
        PadStoredRow(c, width, target.data());
        NarrowRun(target.data(), width, row);
        continue;
      }
      if (j != loaded) GatherStoredRow(j, source.data(), gathered.data());
      loaded = j;
      if (plain_columns_) {
        memcpy(target.data(), gathered.data(), static_cast<size_t>(width) * sizeof(Real));
      } else {
        SplitStoredRow(c, j, gathered.data(), target.data());
      }
      if (op_.row_pad == RowPad::kNoise) NoisePadUnits(c, width, target.data());
      NarrowRun(target.data(), width, row);
    }
  }

  void NoisePadUnits(int64_t c, int64_t width, Real* target) {
    for (const PadRun& run : op_.rows->pad_runs()) {
      NoiseRow(static_cast<uint64_t>(c) * width + run.target, run.length, target + run.target);
    }
  }

  // The padding of an input unit that is not there: noise, or noise that sums to zero over the
  // padding units of each output.
  void PadStoredRow(int64_t c, int64_t width, Real* target) {
    const uint64_t base = static_cast<uint64_t>(c) * width;
    if (op_.column_pad == ColumnPad::kZero) {
      std::fill(target, target + width, Real(0));
    } else if (op_.column_pad == ColumnPad::kNoise) {
      NoiseRow(base, width, target);
    } else {
      for (int64_t i = 0; i < width; ++i) {
        int64_t sum = 0;
        for (const PadRun& run : op_.columns->pad_runs()) {
          for (int64_t u = run.target; u < run.target + run.length; ++u) {
            sum += NoiseInteger(PhiloxAt(key_, static_cast<uint64_t>(u) * width + i));
          }
        }
        target[i] = CentredPadElement(pad_unit_, NoiseInteger(PhiloxAt(key_, base + i)), sum,
                                      op_.columns->pads());
      }
    }
  }

  // Source units of input j [out], then gathered to the target's outputs.
  void GatherStoredRow(int64_t j, Real* source, Real* gathered) {
    for (size_t s = 0; s < infos_.size(); ++s) {
      Load(*infos_[s], j * row_sources_, row_sources_, source + s * row_sources_);
      ScaleAndRound(source + s * row_sources_, row_sources_, infos_[s]->dtype);
    }
    Real pad = 0;
    if (op_.row_pad == RowPad::kMean && op_.rows->pads() > 0) {
      std::vector<double> exact(row_sources_);
      Load(*infos_[0], j * row_sources_, row_sources_, exact.data());
      const std::vector<double>& weights = CachedMeanWeights();
      double sum = 0;
      for (int64_t i = 0; i < row_sources_; ++i) sum += weights[i] * exact[i];
      const double mean = op_.scale * sum / static_cast<double>(row_sources_);
      pad = Widen(orchard::Narrow<T>(static_cast<Real>(mean)));
      NoteRounding(mean, static_cast<double>(pad));
    }
    for (const PadRun& run : op_.rows->pad_runs()) {
      std::fill(gathered + run.target, gathered + run.target + run.length, pad);
    }
    for (const CopyRun& run : op_.rows->copy_runs()) {
      for (int64_t target : run.targets) {
        memcpy(gathered + target, source + run.source,
               static_cast<size_t>(run.length) * sizeof(Real));
      }
    }
  }

  const std::vector<double>& CachedMeanWeights() {
    std::call_once(weights_once_, [&] { mean_weights_ = MeanWeights(row_sources_); });
    return mean_weights_;
  }

  void SplitStoredRow(int64_t c, int64_t j, const Real* gathered, Real* target) {
    const int64_t width = op_.rows->size();
    const int64_t self = c;
    const std::span<const int64_t> targets =
        copy_targets_.empty() ? std::span(&self, 1) : std::span<const int64_t>(copy_targets_[j]);
    const int copies = static_cast<int>(targets.size());
    uint64_t base[kMaxCopies];
    Real* parts[kMaxCopies];
    for (int64_t at = 0; at < width; at += kLanes) {
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, width - at));
      for (int k = 0; k < copies; ++k) {
        base[k] = static_cast<uint64_t>(targets[k]) * width + at;
        parts[k] = targets[k] == c ? target + at : nullptr;
      }
      SplitLanes(op_.split, settings_, key_, copies, base, gathered + at, lanes, parts);
    }
  }

  SplitSettings<Real> settings_;
  Real pad_unit_ = 0;
  int64_t row_sources_ = 0;   // output units of one source tensor
  int64_t row_elements_ = 0;  // elements of one of them
  bool plain_columns_ = false;
  std::vector<std::vector<int64_t>> copy_targets_;  // transposed: target rows of each input unit
  std::once_flag mean_once_, weights_once_, noise_once_;
  std::vector<Real> mean_row_;
  std::vector<double> mean_weights_;
};

// Tensors that are not weights (positions, counters) pass through as bytes.
class BytesWorker : public Worker {
 public:
  using Worker::Worker;
  void Run(int64_t begin, int64_t end, std::span<std::byte> out) override {
    const int64_t width = io::ByteSize(op_.dtype);
    const auto bytes = source_.Bytes(*infos_[0]).subspan(begin * width, (end - begin) * width);
    memcpy(out.data(), bytes.data(), bytes.size());
  }
};

}  // namespace

TensorRunner::TensorRunner(const io::Checkpoint& source, const TensorOp& op,
                           RunnerOptions options) {
  if (op.kind == OpKind::kCopy && !io::IsFloat(op.dtype)) {
    worker_ = std::make_unique<BytesWorker>(source, op, options);
    return;
  }
  Dispatch(op.dtype, op.name, [&](auto tag) {
    worker_ = std::make_unique<TypedWorker<decltype(tag)>>(source, op, options);
  });
}

TensorRunner::~TensorRunner() = default;

void TensorRunner::Run(int64_t begin, int64_t end, std::span<std::byte> out) const {
  worker_->Run(begin, end, out);
}

double TensorRunner::largest_rounding() const { return worker_->largest_rounding(); }

}  // namespace orchard::expand
