#include "expand/optimizer_state.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "expand/tensor_runner.h"

namespace orchard::expand {
namespace {

// The moments' element type: f32, or f64 for f64 weights.
double ReadMoment(const std::byte* bytes, io::DType dtype, int64_t index) {
  if (dtype == io::DType::kF64) {
    double value;
    memcpy(&value, bytes + 8 * index, 8);
    return value;
  }
  float value;
  memcpy(&value, bytes + 4 * index, 4);
  return value;
}

void WriteMoment(double value, io::DType dtype, std::byte* bytes) {
  if (dtype == io::DType::kF64) {
    memcpy(bytes, &value, 8);
  } else {
    const float narrow = static_cast<float>(value);
    memcpy(bytes, &narrow, 4);
  }
}

// Which copy of its source each target unit is: 0 for the first.
std::vector<int64_t> CopyNumbers(const AxisMap& map) {
  std::vector<int64_t> seen(map.source_size(), 0), number(map.size(), 0);
  for (int64_t t = 0; t < map.size(); ++t) {
    if (map[t] != kPad) number[t] = seen[map[t]]++;
  }
  return number;
}

// One moment of one tensor, from the moments of its sources.
class MomentGrower {
 public:
  // power: 1 for first moments, 2 for second ones.
  MomentGrower(const io::Checkpoint& state, const TensorOp& op, const std::string& kind, int power,
               StateGrowth growth)
      : op_(op), power_(power), growth_(growth) {
    const bool linear = op.kind == OpKind::kMatrix || op.kind == OpKind::kVector;
    rows_ = linear ? *op.rows : AxisMap::Identity(op.elements());
    columns_ = op.kind == OpKind::kMatrix ? *op.columns : AxisMap::Identity(1);
    passengers_ = linear ? op.passengers : 1;
    for (const std::string& name : op.sources) {
      const io::TensorInfo& info = state.Get(kind + name);
      Check(state, info);
      bytes_.push_back(state.Bytes(info).data());
      dtypes_.push_back(info.dtype);
    }
    units_ = rows_.source_size() / static_cast<int64_t>(bytes_.size());
    row_copy_ = CopyNumbers(rows_);
    column_copy_ = CopyNumbers(columns_);
    if (power == 2) FindMeans();
  }

  // Writes the whole tensor, one stored row at a time.
  void Write(const io::TensorInfo& target, io::SafetensorsWriter& writer) const {
    const int64_t outer = op_.transposed ? columns_.size() : rows_.size();
    const int64_t inner = op_.transposed ? rows_.size() : columns_.size();
    const int64_t width = io::ByteSize(target.dtype), row_bytes = inner * passengers_ * width;
    const int64_t block = std::max<int64_t>(1, (1 << 20) / row_bytes);
    std::vector<std::byte> buffer;
    for (int64_t begin = 0; begin < outer; begin += block) {
      const int64_t end = std::min(outer, begin + block);
      buffer.resize((end - begin) * row_bytes);
      std::byte* at = buffer.data();
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t c = 0; c < inner; ++c) {
          for (int64_t p = 0; p < passengers_; ++p, at += width) {
            WriteMoment(op_.transposed ? Value(c, t, p) : Value(t, c, p), target.dtype, at);
          }
        }
      }
      writer.Write(target, begin * row_bytes, buffer);
    }
  }

 private:
  void Check(const io::Checkpoint& state, const io::TensorInfo& info) const {
    const int64_t sources = static_cast<int64_t>(op_.sources.size());
    const int64_t expected = rows_.source_size() / sources * columns_.source_size() * passengers_;
    if (info.dtype != io::DType::kF32 && info.dtype != io::DType::kF64) {
      throw DataError("optimiser state is not F32 or F64", state.Where(info));
    }
    if (info.elements() != expected) {
      throw DataError("optimiser state has " + std::to_string(info.elements()) +
                          " elements where its weight has " + std::to_string(expected),
                      state.Where(info), "it was saved for another model");
    }
  }

  double Source(int64_t u, int64_t j, int64_t p) const {
    const size_t s = u / units_;
    const int64_t i = u % units_;
    const int64_t index =
        op_.transposed ? j * units_ + i : (i * columns_.source_size() + j) * passengers_ + p;
    return ReadMoment(bytes_[s], dtypes_[s], index);
  }

  // 1 / (u_i s)^power.
  double Share(int64_t u) const {
    const double copies = static_cast<double>(std::max<int64_t>(1, rows_.copies()[u]));
    const double scale = op_.kind == OpKind::kCopy ? 1 : op_.scale;
    const double share = scale == 0 ? 0 : 1 / (copies * scale);
    return power_ == 1 ? share : share * share;
  }

  void FindMeans() {
    row_mean_.assign(rows_.source_size(), 0);
    column_mean_.assign(columns_.source_size(), 0);
    const double in = static_cast<double>(columns_.source_size() * passengers_);
    const double out = static_cast<double>(rows_.source_size() * passengers_);
    for (int64_t u = 0; u < rows_.source_size(); ++u) {
      for (int64_t j = 0; j < columns_.source_size(); ++j) {
        for (int64_t p = 0; p < passengers_; ++p) {
          const double value = Share(u) * Source(u, j, p);
          row_mean_[u] += value / in;
          column_mean_[j] += value / out;
        }
      }
      mean_ += row_mean_[u] / static_cast<double>(rows_.source_size());
    }
  }

  double Padding(int64_t u, int64_t j) const {
    if (power_ == 1) return 0;
    if (u != kPad && columns_.size() > 1) return row_mean_[u];
    return j != kPad ? column_mean_[j] : mean_;
  }

  double Value(int64_t i, int64_t c, int64_t p) const {
    const int64_t u = rows_[i], j = columns_[c];
    const bool later_copy =
        growth_ == StateGrowth::kAsym && (row_copy_[i] > 0 || column_copy_[c] > 0);
    if (u == kPad || j == kPad || later_copy) return Padding(u, j);
    return Share(u) * Source(u, j, p);
  }

  const TensorOp& op_;
  int power_;
  StateGrowth growth_;
  AxisMap rows_, columns_;
  int64_t passengers_ = 1, units_ = 1;
  std::vector<const std::byte*> bytes_;
  std::vector<io::DType> dtypes_;
  std::vector<int64_t> row_copy_, column_copy_;
  std::vector<double> row_mean_, column_mean_;  // of second moments, by source unit
  double mean_ = 0;
};

constexpr std::pair<const char*, int> kMoments[] = {
    {"exp_avg.", 1}, {"exp_avg_sq.", 2}, {"momentum_buffer.", 1}};

bool Carries(const TensorOp& op) {
  return !op.new_layer && !op.sources.empty() &&
         (op.kind == OpKind::kMatrix || op.kind == OpKind::kVector || op.kind == OpKind::kCopy);
}

bool HasAll(const io::Checkpoint& state, const std::string& kind, const TensorOp& op) {
  return std::all_of(op.sources.begin(), op.sources.end(),
                     [&](const std::string& name) { return state.Find(kind + name) != nullptr; });
}

void CheckNames(const io::Checkpoint& state, const SourceModel& source) {
  for (const io::TensorInfo& info : state.tensors()) {
    const size_t dot = info.name.find('.');
    if (dot == std::string::npos || !source.weights.Find(info.name.substr(dot + 1))) {
      throw DataError("optimiser state without a tensor", state.Where(info),
                      "it was saved for another model");
    }
  }
}

// The op that expands the moving average of a weight.
TensorOp AverageOp(const TensorOp& op, io::DType dtype) {
  TensorOp average = op;
  for (std::string& name : average.sources) name = "ema." + name;
  if (!average.mean_weights.empty()) average.mean_weights = "ema." + average.mean_weights;
  average.dtype = dtype;
  return average;
}

// Runs an op whole.
void WriteOp(const io::Checkpoint& source, const TensorOp& op, uint64_t seed,
             const io::TensorInfo& target, io::SafetensorsWriter& writer) {
  const TensorRunner runner(source, op, {seed, true});
  const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
  const int64_t step = std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, unit_bytes));
  std::vector<std::byte> buffer;
  for (int64_t begin = 0; begin < op.block_units(); begin += step) {
    const int64_t end = std::min(op.block_units(), begin + step);
    buffer.resize((end - begin) * unit_bytes);
    runner.Run(begin, end, buffer);
    writer.Write(target, begin * unit_bytes, buffer);
  }
}

// The weights that are stored in 16 bits, as the f32 that training steps from.
void WriteMaster(const SourceModel& source, const TensorOp& op, uint64_t seed,
                 const io::TensorInfo& target, io::SafetensorsWriter& writer) {
  const TensorRunner runner(source.weights, op, {seed, true});
  std::vector<std::byte> stored(op.unit_elements() * 2), wide(op.unit_elements() * 4);
  for (int64_t t = 0; t < op.block_units(); ++t) {
    runner.Run(t, t + 1, stored);
    for (int64_t i = 0; i < op.unit_elements(); ++i) {
      uint16_t bits;
      memcpy(&bits, stored.data() + 2 * i, 2);
      const float value =
          op.dtype == io::DType::kBF16 ? Widen(BFloat16{bits}) : Widen(Float16{bits});
      WriteMoment(value, io::DType::kF32, wide.data() + 4 * i);
    }
    writer.Write(target, t * static_cast<int64_t>(wide.size()), wide);
  }
}

}  // namespace

void GrowOptimizerState(const io::Checkpoint& state, const SourceModel& source, const Plan& plan,
                        StateGrowth growth, uint64_t seed, const std::filesystem::path& path) {
  if (growth == StateGrowth::kReset) return;
  CheckNames(state, source);
  std::vector<io::TensorInfo> infos;
  for (const TensorOp& op : plan.tensors) {
    if (!Carries(op)) continue;
    const io::DType dtype = op.dtype == io::DType::kF64 ? io::DType::kF64 : io::DType::kF32;
    if (HasAll(state, "ema.", op)) infos.push_back({"ema." + op.name, dtype, op.shape});
    if (!HasAll(state, "step.", op)) continue;
    infos.push_back({"step." + op.name, io::DType::kI64, {}});
    for (const auto& [kind, power] : kMoments) {
      if (HasAll(state, kind, op)) infos.push_back({kind + op.name, dtype, op.shape});
    }
    if (io::ByteSize(op.dtype) == 2) infos.push_back({"master." + op.name, dtype, op.shape});
  }
  io::SafetensorsWriter writer(path, io::SafetensorsLayout(std::move(infos)));
  for (const TensorOp& op : plan.tensors) {
    const auto target = [&](const std::string& kind) {
      return writer.layout().Find(kind + op.name);
    };
    if (const auto* info = target("ema.")) {
      WriteOp(state, AverageOp(op, info->dtype), seed, *info, writer);
    }
    if (const auto* info = target("step.")) {
      writer.Write(*info, 0, state.Bytes(state.Get("step." + op.sources[0])));
    }
    for (const auto& [kind, power] : kMoments) {
      if (const auto* info = target(kind))
        MomentGrower(state, op, kind, power, growth).Write(*info, writer);
    }
    if (const auto* info = target("master.")) WriteMaster(source, op, seed, *info, writer);
  }
  writer.Finish();
}

}  // namespace orchard::expand
