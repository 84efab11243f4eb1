#include "expand/matrix_runner.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>

#include "base/error.h"
#include "expand/lanes.h"
#include "expand/stored_type.h"

namespace orchard::expand {
namespace {

// T: stored type of the target.
template <class T>
class TypedMatrixRunner : public MatrixRunner {
  using Real = ComputeOf<T>;

 public:
  TypedMatrixRunner(const OpSources& sources, const TensorOp& op, Philox2 key)
      : op_(op),
        sources_(sources),
        key_(key),
        sigma_(op.sigma),
        pad_unit_(static_cast<Real>(op.pad_sigma * kWeightNoiseUnit)),
        units_(op.rows->source_size() / sources.divisor()),
        row_elements_(op.columns->source_size() * op.passengers),
        plain_columns_(op.columns->identity() && op.split != Split::kCancel) {
    sources.CheckElements(units_ * row_elements_);
    for (int64_t n : op.columns->copies()) {
      if (n > kMaxCopies) {
        throw ImpossibleError("more than " + std::to_string(kMaxCopies) + " copies of one unit",
                              "tensor " + op.name);
      }
    }
    if (!op.transposed || plain_columns_) return;
    copy_targets_.resize(op.columns->source_size());
    for (int64_t c = 0; c < op.columns->size(); ++c) {
      if ((*op.columns)[c] != kPad) copy_targets_[(*op.columns)[c]].push_back(c);
    }
  }

  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    if (const auto bytes = SameBytes(begin, end); !bytes.empty()) return bytes;
    PrepareSettings();
    T* out = reinterpret_cast<T*>(room.data());
    if (op_.transposed) {
      RunTransposed(begin, end, out);
    } else {
      RunRows(begin, end, out);
    }
    return room;
  }

  double sigma() override {
    PrepareSettings();
    return sigma_;
  }

  std::span<const std::byte> MeanRow() override {
    if (op_.row_pad != RowPad::kMean || op_.rows->pads() == 0) return {};
    return std::as_bytes(std::span(MeanOfRows()));
  }

  void SourceRows(int64_t begin, int64_t end, std::span<std::byte> room) override {
    const int64_t width = op_.transposed ? op_.rows->source_size() : row_elements_;
    T* out = reinterpret_cast<T*>(room.data());
    RowRoom convert;
    for (int64_t u = begin; u < end; ++u, out += width) {
      if (op_.transposed) {
        for (int64_t s = 0; s < sources_.divisor(); ++s) {
          CopyRow(InputRow(s, u, convert), units_, out + s * units_);
        }
      } else {
        CopyRow(SourceRow(u, convert), width, out);
      }
    }
  }

 private:
  // Where a row goes that the file does not hold as it is wanted.
  struct RowRoom {
    std::vector<std::byte> stored;
    std::vector<Real> widened;
    std::vector<T> row;
  };

  // Rows that one source holds side by side as they are wanted; nothing when it does not.
  std::span<const std::byte> SameBytes(int64_t begin, int64_t end) const {
    if (op_.transposed || !plain_columns_ || begin == end) return {};
    const int64_t first = (*op_.rows)[begin], s = first == kPad ? 0 : first / units_;
    if (first == kPad || first + (end - begin) > (s + 1) * units_ || !StoredAsWanted(s)) return {};
    for (int64_t i = begin; i < end; ++i) {
      if ((*op_.rows)[i] != first + (i - begin)) return {};
    }
    std::vector<std::byte> copy;
    const auto bytes =
        sources_.Stored(s, first % units_ * row_elements_, (end - begin) * row_elements_, copy);
    return copy.empty() ? bytes : std::span<const std::byte>();
  }

  bool StoredAsWanted(int64_t s) const { return op_.scale == 1 && sources_[s].dtype == op_.dtype; }

  static void CopyRow(const T* row, int64_t count, T* out) {
    memcpy(out, row, static_cast<size_t>(count) * sizeof(T));
  }

  // ---- rows of the sources, as what the split is applied to: storage numbers

  // Elements [first, first + count) of source s: scaled, then rounded.
  const T* Row(int64_t s, int64_t first, int64_t count, RowRoom& room) const {
    if (StoredAsWanted(s)) {
      return reinterpret_cast<const T*>(sources_.Stored(s, first, count, room.stored).data());
    }
    room.widened.resize(count);
    room.row.resize(count);
    sources_.Load(s, first, count, room.widened.data());
    const Real scale = static_cast<Real>(op_.scale);
    for (int64_t i = 0; i < count; ++i) room.row[i] = Narrow<T>(room.widened[i] * scale);
    return room.row.data();
  }

  // Unit u [in, passengers].
  const T* SourceRow(int64_t u, RowRoom& room) const {
    return Row(u / units_, u % units_ * row_elements_, row_elements_, room);
  }

  // Input j of source s [out], of a transposed matrix.
  const T* InputRow(int64_t s, int64_t j, RowRoom& room) const {
    return Row(s, j * units_, units_, room);
  }

  // Mean over the source rows, accumulated in f64 in row order, rounded to storage.
  const std::vector<T>& MeanOfRows() {
    std::call_once(mean_once_, [&] {
      mean_row_.resize(row_elements_);
      if (op_.transposed) {
        for (int64_t j = 0; j < row_elements_; ++j) mean_row_[j] = MeanOfInput(j);
        return;
      }
      const std::vector<double>& weights = MeanWeights();
      std::vector<double> sum(row_elements_, 0.0), row(row_elements_);
      for (int64_t r = 0; r < units_; ++r) {
        sources_.Load(0, r * row_elements_, row_elements_, row.data());
        for (int64_t j = 0; j < row_elements_; ++j) sum[j] += weights[r] * row[j];
      }
      for (int64_t j = 0; j < row_elements_; ++j) mean_row_[j] = RoundedMean(sum[j]);
    });
    return mean_row_;
  }

  // The same of one input of a transposed matrix, whose rows lie side by side.
  T MeanOfInput(int64_t j) {
    const std::vector<double>& weights = MeanWeights();
    std::vector<double> row(units_);
    sources_.Load(0, j * units_, units_, row.data());
    double sum = 0;
    for (int64_t r = 0; r < units_; ++r) sum += weights[r] * row[r];
    return RoundedMean(sum);
  }

  T RoundedMean(double sum) {
    const double mean = op_.scale * sum / static_cast<double>(units_);
    const T rounded = Narrow<T>(static_cast<Real>(mean));
    NoteRounding(mean, static_cast<double>(Widen(rounded)));
    return rounded;
  }

  const std::vector<double>& MeanWeights() {
    std::call_once(weights_once_, [&] { mean_weights_ = sources_.MeanWeights(units_); });
    return mean_weights_;
  }

  // Relative noise needs one pass over the sources for their root mean square, summed in f64 in
  // order: the same bits whatever the blocks.
  void PrepareSettings() {
    std::call_once(settings_once_, [&] {
      if (op_.relative_sigma != 0) sigma_ = RelativeSigma();
      settings_ = MakeSplitSettings<Real>(GridOf<T>(), sigma_);
    });
  }

  double RelativeSigma() const {
    constexpr int64_t kChunk = 1 << 15;
    std::vector<double> values(kChunk);
    double sum = 0;
    int64_t count = 0;
    for (int64_t s = 0; s < sources_.count(); ++s) {
      const int64_t elements = sources_[s].elements();
      for (int64_t at = 0; at < elements; at += kChunk) {
        const int64_t n = std::min(kChunk, elements - at);
        sources_.Load(s, at, n, values.data());
        for (int64_t i = 0; i < n; ++i) sum += values[i] * values[i];
        count += n;
      }
    }
    const double power = count > 0 ? sum / static_cast<double>(count) : 0;
    const double sigma = op_.relative_sigma * std::abs(op_.scale) * std::sqrt(power);
    return std::isfinite(sigma) ? sigma : 0;
  }

  // ---- stored [out, in, passengers]

  void RunRows(int64_t begin, int64_t end, T* out) {
    const int64_t width = op_.columns->size() * op_.passengers;
    const std::vector<T> zeros(row_elements_, Narrow<T>(Real(0)));
    RowRoom room;
    const T* source = nullptr;
    int64_t loaded = kPad - 1;
    for (int64_t i = begin; i < end; ++i, out += width) {
      const int64_t u = (*op_.rows)[i];
      const uint64_t base = static_cast<uint64_t>(i) * static_cast<uint64_t>(width);
      if (u == kPad && op_.row_pad == RowPad::kNoise) {
        PadLanes<T>(pad_unit_, key_, base, width, out);
        continue;
      }
      if (u != loaded) {
        source = u != kPad                      ? SourceRow(u, room)
                 : op_.row_pad == RowPad::kMean ? MeanOfRows().data()
                                                : zeros.data();
        loaded = u;
      }
      if (plain_columns_) {
        CopyRow(source, width, out);
      } else {
        SplitRow(base, source, out);
        PadColumns(base, out);
      }
    }
  }

  void SplitRow(uint64_t row_base, const T* source, T* out) const {
    uint64_t base[kMaxCopies];
    T* parts[kMaxCopies];
    for (const CopyRun& run : op_.columns->copy_runs()) {
      const int copies = static_cast<int>(run.targets.size());
      const int64_t length = run.length * op_.passengers;
      for (int64_t at = 0; at < length; at += kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(kLanes, length - at));
        for (int k = 0; k < copies; ++k) {
          const int64_t column = run.targets[k] * op_.passengers + at;
          base[k] = row_base + static_cast<uint64_t>(column);
          parts[k] = out + column;
        }
        SplitLanes<T>(op_.split, settings_, key_, copies, base,
                      source + run.source * op_.passengers + at, lanes, parts);
      }
    }
  }

  void PadColumns(uint64_t row_base, T* out) const {
    if (op_.columns->pads() == 0) return;
    if (op_.column_pad == ColumnPad::kCentredNoise) return CentredPadColumns(row_base, out);
    for (const PadRun& run : op_.columns->pad_runs()) {
      const int64_t first = run.target * op_.passengers, length = run.length * op_.passengers;
      if (op_.column_pad == ColumnPad::kZero) {
        std::fill(out + first, out + first + length, Narrow<T>(Real(0)));
      } else {
        PadLanes<T>(pad_unit_, key_, row_base + static_cast<uint64_t>(first), length, out + first);
      }
    }
  }

  void CentredPadColumns(uint64_t row_base, T* out) const {
    std::vector<int64_t> sums(op_.passengers, 0);
    const auto for_each = [&](auto&& visit) {
      int32_t room[kNoiseRoom];
      for (const PadRun& run : op_.columns->pad_runs()) {
        const int64_t first = run.target * op_.passengers, length = run.length * op_.passengers;
        for (int64_t at = 0; at < length; at += kLanes) {
          const int lanes = static_cast<int>(std::min<int64_t>(kLanes, length - at));
          const int32_t* noise =
              NoiseLanes(key_, row_base + static_cast<uint64_t>(first + at), lanes, room);
          for (int l = 0; l < lanes; ++l) visit(first + at + l, noise[l]);
        }
      }
    };
    for_each([&](int64_t at, int32_t noise) { sums[at % op_.passengers] += noise; });
    for_each([&](int64_t at, int32_t noise) {
      out[at] = Narrow<T>(
          CentredPadElement(pad_unit_, noise, sums[at % op_.passengers], op_.columns->pads()));
    });
  }

  // ---- stored [in, out]: a stored row is one input unit. The noise of its copies is drawn again
  // for each of them, so that rows stay independent of each other.

  void RunTransposed(int64_t begin, int64_t end, T* out) {
    const int64_t width = op_.rows->size();
    std::vector<T> gathered(plain_columns_ ? 0 : width);
    RowRoom room;
    int64_t loaded = kPad - 1;
    for (int64_t c = begin; c < end; ++c, out += width) {
      const int64_t j = (*op_.columns)[c];
      if (j == kPad) {
        PadInput(c, out);
        continue;
      }
      if (plain_columns_) {
        Gather(j, room, out);
      } else {
        if (j != loaded) Gather(j, room, gathered.data());
        loaded = j;
        SplitInput(c, j, gathered.data(), out);
      }
      if (op_.row_pad == RowPad::kNoise) NoisePadUnits(c, out);
    }
  }

  // Input j of the sources, gathered to the target's outputs.
  void Gather(int64_t j, RowRoom& room, T* out) {
    T pad = Narrow<T>(Real(0));
    if (op_.row_pad == RowPad::kMean && op_.rows->pads() > 0) pad = MeanOfInput(j);
    for (const PadRun& run : op_.rows->pad_runs()) {
      std::fill(out + run.target, out + run.target + run.length, pad);
    }
    const T* source = nullptr;
    int64_t loaded = -1;
    for (const CopyRun& run : op_.rows->copy_runs()) {
      for (int64_t at = 0; at < run.length;) {  // a run may go on in the next source
        const int64_t s = (run.source + at) / units_, first = (run.source + at) % units_;
        const int64_t count = std::min(run.length - at, units_ - first);
        if (s != loaded) source = InputRow(s, j, room);
        loaded = s;
        for (int64_t target : run.targets) CopyRow(source + first, count, out + target + at);
        at += count;
      }
    }
  }

  void SplitInput(int64_t c, int64_t j, const T* gathered, T* out) const {
    const int64_t width = op_.rows->size();
    const std::vector<int64_t>& targets = copy_targets_[j];
    const int copies = static_cast<int>(targets.size());
    uint64_t base[kMaxCopies];
    T* parts[kMaxCopies];
    for (int64_t at = 0; at < width; at += kLanes) {
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, width - at));
      for (int k = 0; k < copies; ++k) {
        base[k] = static_cast<uint64_t>(targets[k] * width + at);
        parts[k] = targets[k] == c ? out + at : nullptr;
      }
      SplitLanes<T>(op_.split, settings_, key_, copies, base, gathered + at, lanes, parts);
    }
  }

  void NoisePadUnits(int64_t c, T* out) const {
    for (const PadRun& run : op_.rows->pad_runs()) {
      PadLanes<T>(pad_unit_, key_, static_cast<uint64_t>(c * op_.rows->size() + run.target),
                  run.length, out + run.target);
    }
  }

  // The padding of an input unit that is not there: noise, or noise that sums to zero over the
  // padding units of each output.
  void PadInput(int64_t c, T* out) {
    const int64_t width = op_.rows->size();
    const uint64_t base = static_cast<uint64_t>(c * width);
    if (op_.column_pad == ColumnPad::kZero) {
      std::fill(out, out + width, Narrow<T>(Real(0)));
    } else if (op_.column_pad == ColumnPad::kNoise) {
      PadLanes<T>(pad_unit_, key_, base, width, out);
    } else {
      const std::vector<int64_t>& sums = PadSums();
      ForEachNoise(base, width, [&](int64_t i, int32_t noise) {
        out[i] = Narrow<T>(CentredPadElement(pad_unit_, noise, sums[i], op_.columns->pads()));
      });
    }
  }

  // Sum of the noise of every output over the padding inputs.
  const std::vector<int64_t>& PadSums() {
    std::call_once(pad_sums_once_, [&] {
      const int64_t width = op_.rows->size();
      pad_sums_.assign(width, 0);
      for (const PadRun& run : op_.columns->pad_runs()) {
        for (int64_t u = run.target; u < run.target + run.length; ++u) {
          ForEachNoise(static_cast<uint64_t>(u * width), width,
                       [&](int64_t i, int32_t noise) { pad_sums_[i] += noise; });
        }
      }
    });
    return pad_sums_;
  }

  template <class Visit>
  void ForEachNoise(uint64_t base, int64_t count, Visit&& visit) const {
    int32_t room[kNoiseRoom];
    for (int64_t at = 0; at < count; at += kLanes) {
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, count - at));
      const int32_t* noise = NoiseLanes(key_, base + static_cast<uint64_t>(at), lanes, room);
      for (int l = 0; l < lanes; ++l) visit(at + l, noise[l]);
    }
  }

  const TensorOp& op_;
  const OpSources& sources_;
  Philox2 key_;
  double sigma_;
  SplitSettings<Real> settings_ = {};
  Real pad_unit_;
  int64_t units_;                                   // output units of one source tensor
  int64_t row_elements_;                            // elements of one of them
  bool plain_columns_;                              // every input has one copy, in its place
  std::vector<std::vector<int64_t>> copy_targets_;  // transposed: target rows of each input unit
  std::once_flag mean_once_, weights_once_, settings_once_, pad_sums_once_;
  std::vector<T> mean_row_;
  std::vector<double> mean_weights_;
  std::vector<int64_t> pad_sums_;
};

}  // namespace

std::unique_ptr<MatrixRunner> MatrixRunner::Make(const OpSources& sources, const TensorOp& op,
                                                 Philox2 key) {
  std::unique_ptr<MatrixRunner> runner;
  DispatchStored(op.dtype, op.name, [&](auto tag) {
    runner = std::make_unique<TypedMatrixRunner<decltype(tag)>>(sources, op, key);
  });
  return runner;
}

}  // namespace orchard::expand
