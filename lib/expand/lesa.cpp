#include "expand/lesa.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/number_format.h"
#include "base/scratch_directory.h"
#include "base/signals.h"
#include "expand/lesa_kind.h"
#include "io/convert.h"

namespace orchard::expand {
namespace {

using arch::Match;

// A kind of matrix, and the ops of the plan that want one of its predictions.
struct Kind {
  std::vector<std::string> layers;  // tensor of each source layer
  int64_t rows = 0, columns = 0;
  bool transposed = false;      // stored [columns, rows]
  std::vector<size_t> ops;      // indices into Plan::tensors
  std::vector<int64_t> before;  // the source layer that each stands after
};

class Predictor {
 public:
  Predictor(const SourceModel& source, const Plan& plan, const LesaOptions& options)
      : source_(source),
        plan_(plan),
        options_(options),
        files_(std::make_shared<ScratchDirectory>(options.scratch)) {
    for (const io::TensorInfo& info : source.weights.tensors()) {
      if (const auto match = source.architecture.Find(info.name)) by_slot_[match->Slot()] = &info;
    }
  }

  LesaResult Run() {
    LesaResult result{.source = OpenAgain(), .plan = plan_, .files = files_};
    for (size_t i = 0; i < result.plan.tensors.size(); ++i) Rewire(i, result.plan.tensors[i]);
    for (auto& [slot, kind] : kinds_) order_.push_back(&kind);
    result.kinds.resize(order_.size());
    PredictAll(result.kinds);
    for (size_t k = 0; k < order_.size(); ++k) result.source.weights.Add(FileOf(k));
    return result;
  }

 private:
  SourceModel OpenAgain() const {
    SourceModel again{source_.path,   source_.directory, source_.architecture,
                      source_.config, source_.sizes,     io::Checkpoint::Open(source_.path)};
    return again;
  }

  std::string NameIn(const Match& match, int64_t layer) const {
    Match other = match;
    other.layer = layer;
    const auto it = by_slot_.find(other.Slot());
    if (it == by_slot_.end()) {
      throw DataError(
          "tensor is missing: " + arch::Architecture::NameOf(match, layer, match.expert),
          source_.path.string());
    }
    return it->second->name;
  }

  // Makes one op of a new layer a copy of a prediction, or the mean of two vectors.
  void Rewire(size_t index, TensorOp& op) {
    if (!op.new_layer) return;
    const std::string from = op.sources.at(0);
    const Match match = *source_.architecture.Find(from);
    const std::string next = NameIn(match, match.layer + 1);
    op.exactness = Exactness::kApproximate;
    if (op.kind == OpKind::kVector) {
      op.kind = OpKind::kMix;
      op.mix_rows = std::make_shared<const MixMap>(MixMap::Identity(op.shape[0]));
      op.mix_columns = std::make_shared<const MixMap>(MixMap::Identity(1));
      op.sources = {from, next};
      op.source_weights = {0.5, 0.5};
      op.policy = "mean of the layers before and after";
    } else if (op.kind == OpKind::kMatrix) {
      AddToKind(index, match, op);
      op.kind = OpKind::kCopy;
      op.sources = {fmt::format("LESA of {} and {}, {} epochs", from, next, options_.epochs)};
      op.policy = "predicted from the layers before and after";
    }
  }

  void AddToKind(size_t index, const Match& match, const TensorOp& op) {
    if (op.shape.size() != 2) {
      throw ImpossibleError("lesa predicts matrices, and this is none", "tensor " + op.name);
    }
    Match first = match;
    first.layer = 0;
    Kind& kind = kinds_[first.Slot()];
    if (kind.layers.empty()) {
      for (int64_t i = 0; i < plan_.source.layers; ++i) kind.layers.push_back(NameIn(match, i));
      kind.transposed = op.transposed;
      kind.rows = op.shape[op.transposed ? 1 : 0];
      kind.columns = op.shape[op.transposed ? 0 : 1];
      CheckMemory(kind);
    }
    kind.ops.push_back(index);
    kind.before.push_back(match.layer);
  }

  void CheckMemory(const Kind& kind) const {
    const int64_t bytes = LesaBytes(kind.rows, kind.columns);
    if (bytes <= options_.max_ram) return;
    throw ResourceError(fmt::format("predicting matrices of {} x {} takes {}, more than --max-ram",
                                    kind.rows, kind.columns, FormatBytes(bytes)),
                        "tensor " + kind.layers.front(), "--max-ram " + std::to_string(bytes));
  }

  // A stored matrix as [rows, columns] in f64.
  at::Tensor Read(const Kind& kind, int64_t layer) const {
    const io::TensorInfo& info = source_.weights.Get(kind.layers[static_cast<size_t>(layer)]);
    const int64_t first = kind.transposed ? kind.columns : kind.rows;
    const int64_t second = kind.transposed ? kind.rows : kind.columns;
    if (info.elements() != first * second || !io::IsFloat(info.dtype)) {
      throw DataError("a matrix of another shape than the same one of other layers",
                      source_.weights.Where(info));
    }
    const auto bytes = source_.weights.Bytes(info);
    if (io::FirstNonFinite(bytes, info.dtype)) {
      throw DataError("holds NaN or infinity, from which nothing can be learnt",
                      source_.weights.Where(info));
    }
    at::Tensor values = at::empty({first, second}, at::kDouble);
    io::ToDoubles(bytes, info.dtype,
                  {values.mutable_data_ptr<double>(), static_cast<size_t>(values.numel())});
    source_.weights.Release(info, 0, info.end - info.begin);
    return kind.transposed ? values.t() : values;
  }

  std::filesystem::path FileOf(size_t kind) const {
    return *files_ / fmt::format("predicted-{}.safetensors", kind);
  }

  LesaKind PredictOne(size_t k) const {
    const Kind& kind = *order_[k];
    const std::filesystem::path coordinates = *files_ / fmt::format("coordinates-{}", k);
    LesaKind learnt;
    {
      LesaKindModel model(
          kind.layers.front(), plan_.source.layers,
          [&](int64_t layer) { return Read(kind, layer); }, coordinates);
      learnt = model.Train(options_);
      WritePredictions(k, model);
    }
    std::filesystem::remove(coordinates);
    return learnt;
  }

  void WritePredictions(size_t k, const LesaKindModel& model) const {
    const Kind& kind = *order_[k];
    std::vector<io::TensorInfo> infos;
    for (size_t i = 0; i < kind.ops.size(); ++i) {
      infos.push_back({PredictedName(kind, i), io::DType::kF32, plan_.tensors[kind.ops[i]].shape});
    }
    io::SafetensorsWriter writer(FileOf(k), io::SafetensorsLayout(std::move(infos)));
    for (size_t i = 0; i < kind.ops.size(); ++i) {
      at::Tensor w = model.Predict(kind.before[i]);
      if (kind.transposed) w = w.t();
      const at::Tensor stored = w.to(at::kFloat).contiguous();
      writer.Write(*writer.layout().Find(PredictedName(kind, i)), 0,
                   {static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes()});
    }
    writer.Finish(false);
  }

  std::string PredictedName(const Kind& kind, size_t i) const {
    const auto before = static_cast<size_t>(kind.before[i]);
    return fmt::format("LESA of {} and {}, {} epochs", kind.layers[before], kind.layers[before + 1],
                       options_.epochs);
  }

  // Kinds side by side, each on one thread, so that the bits do not depend on how many there are.
  void PredictAll(std::vector<LesaKind>& learnt) {
    int64_t most = 1;
    for (const Kind* kind : order_) most = std::max(most, LesaBytes(kind->rows, kind->columns));
    const int64_t workers =
        std::clamp<int64_t>(options_.max_ram / most, 1, std::max(1, options_.threads));
    const int threads_before = at::get_num_threads();
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr error;
    const auto work = [&] {
      at::set_num_threads(1);
      for (size_t k; (k = next++) < order_.size();) {
        try {
          {
            const std::lock_guard lock(mutex);
            if (error) return;
            if (options_.on_start) options_.on_start(order_[k]->layers.front());
          }
          if (StopRequested()) throw InterruptedError("interrupted; nothing was written", "");
          learnt[k] = PredictOne(k);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!error) error = std::current_exception();
        }
      }
    };
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < workers; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    at::set_num_threads(threads_before);
    if (error) std::rethrow_exception(error);
  }

  const SourceModel& source_;
  const Plan& plan_;
  const LesaOptions& options_;
  std::shared_ptr<const ScratchDirectory> files_;
  std::map<std::string, const io::TensorInfo*> by_slot_;
  std::map<std::string, Kind> kinds_;
  std::vector<const Kind*> order_;
};

}  // namespace

LesaResult PredictLayers(const SourceModel& source, const Plan& plan, const LesaOptions& options) {
  return Predictor(source, plan, options).Run();
}

}  // namespace orchard::expand
