#include "sync/train.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/logging.h"
#include "base/peak_memory.h"
#include "base/signals.h"
#include "run/progress.h"
#include "run/trace.h"
#include "sync/averaged_model.h"
#include "sync/rank_checkpoint.h"
#include "sync/replica.h"
#include "sync/timed_communicator.h"

namespace orchard::sync {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The first tensor with an element that is not finite; empty where there is none.
std::string NotFinite(const ArenaLayout& layout, std::span<const float> values) {
  for (const Slot& slot : layout.slots()) {
    const auto part =
        values.subspan(static_cast<size_t>(slot.offset), static_cast<size_t>(slot.count));
    if (!std::all_of(part.begin(), part.end(), [](float v) { return std::isfinite(v); })) {
      return slot.name;
    }
  }
  return "";
}

double Norm(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

class Trainer {
 public:
  Trainer(const SyncTrainOptions& options, const TrainSetting& setting, const ImageData& data,
          comm::Communicator& ranks, run::RunDir* run)
      : options_(options),
        setting_(setting),
        data_(data),
        ranks_(ranks),
        control_(ranks.Split(0)),
        run_(run),
        trace_(run != nullptr ? run->trace() : no_trace_),
        pool_(setting.threads),
        replica_(MakeNetwork(options.model, data.train, setting.seed)),
        resolved_(Resolve(options.optim, options.compress)),
        algorithm_(
            MakeAlgorithm<float>(options.optim, options.compress, replica_.layout(), setting.seed)),
        batches_(data, options.data, ranks.rank(), ranks.size(), setting.seed, pool_),
        steps_(Steps()),
        rate_(options.schedule, steps_, batches_.steps_per_epoch(),
              WarmupRatio(options.optim.algo, resolved_)) {
    CheckAgreement();
    WarnOfSkew();
  }

  SyncResult Run() {
    control_->Broadcast(replica_.values());
    algorithm_->Begin(replica_.values());
    Resume();
    run::Progress progress("train", steps_, "steps",
                           {.enabled = setting_.progress && run_ != nullptr, .start = step_});
    while (step_ < steps_) {
      Step();
      ++step_;
      StepDone(progress);
      progress.Advance();
    }
    Finish();
    return result_;
  }

 private:
  int64_t Steps() const {
    const double per_epoch = static_cast<double>(batches_.steps_per_epoch());
    const auto steps = std::max<int64_t>(1, std::llround(options_.run.epochs * per_epoch));
    const int64_t most = options_.run.max_steps;
    return most > 0 ? std::min(steps, most) : steps;
  }

  double Epoch() const {
    return static_cast<double>(step_) / static_cast<double>(batches_.steps_per_epoch());
  }

  // ---- before the first step

  void CheckAgreement() {
    const std::string text = fmt::format("{}\n{}\n{} {}", setting_.configuration,
                                         replica_.layout().Digest(), setting_.seed, steps_);
    const std::string own = Sha256Hex(std::as_bytes(std::span(text)));
    std::string all(own.size() * static_cast<size_t>(ranks_.size()), ' ');
    const std::vector<int64_t> counts(static_cast<size_t>(ranks_.size()), std::ssize(own));
    control_->AllGather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)),
                        counts);
    for (int r = 1; r < ranks_.size(); ++r) {
      if (all.compare(own.size() * static_cast<size_t>(r), own.size(), all, 0, own.size()) == 0) {
        continue;
      }
      throw PeerError("ranks disagree on the configuration",
                      fmt::format("rank {} differs from rank 0", r),
                      "start all ranks with the same options and files");
    }
  }

  void WarnOfSkew() {
    result_.label_skew = batches_.label_skew();
    // A small random sample differs from the whole by chance.
    const auto samples = static_cast<double>(batches_.steps_per_epoch() * options_.data.batch);
    const double chance = 0.5 * std::sqrt(data_.train.classes() / samples);
    if (run_ == nullptr || ranks_.size() == 1 || result_.label_skew < 0.1 + chance) return;
    LogWarning(fmt::format(
        "the labels of a rank differ from those of all (total variation {:.2f}): error reset loses "
        "accuracy on such shards, error feedback (qsparse, ef-sgd) or a small ratio loses less",
        result_.label_skew));
  }

  // ---- one step

  void Step() {
    const auto span = trace_.Span("step");
    const Clock::time_point begin = Clock::now();
    double loss = 0;
    {
      const auto compute = trace_.Span("forward and backward");
      const ImageBatchTensors batch = batches_.Train(step_);
      loss = replica_.Gradient(batch.images, batch.labels);
    }
    if (!std::isfinite(loss))
      Diverged(std::isnan(loss) ? "the loss is nan" : "the loss is infinite");
    loss_sum_ += loss;
    const Clock::time_point computed = Clock::now();
    const double wire_before = ranks_.seconds();
    {
      const auto update = trace_.Span("update and wire");
      algorithm_->Step({.step = step_ + 1,
                        .learning_rate = rate_.At(step_),
                        .gradient_scale = GradientScale(),
                        .values = replica_.values(),
                        .gradient = replica_.gradient(),
                        .ranks = ranks_,
                        .pool = setting_.threads > 1 ? &pool_ : nullptr});
    }
    const double wire = ranks_.seconds() - wire_before;
    result_.compute_seconds += std::chrono::duration<double>(computed - begin).count();
    result_.update_seconds += Since(computed) - wire;
    result_.wire_seconds += wire;
    result_.train_seconds += Since(begin);
  }

  // Clips the rank's own gradient; that of DGC to a part of the bound, since n of them are added.
  double GradientScale() {
    double bound = options_.run.grad_clip;
    if (bound == 0) return 1;
    if (options_.optim.algo == AlgorithmKind::kDgc) bound /= std::sqrt(ranks_.size());
    const double norm = Norm(replica_.gradient());
    return norm > bound ? bound / norm : 1;
  }

  [[noreturn]] void Diverged(const std::string& what) {
    std::string where = NotFinite(replica_.layout(), replica_.values());
    if (where.empty()) where = NotFinite(replica_.layout(), replica_.gradient());
    throw DivergedError(
        what,
        fmt::format("step {}, rank {}{}", step_ + 1, ranks_.rank(),
                    where.empty() ? "" : ", first tensor that is not finite: " + where),
        "lower schedule.lr or compress.ratio, or warm up");
  }

  // ---- after a step

  bool Due(int64_t every) const { return step_ == steps_ || (every > 0 && step_ % every == 0); }

  bool EvaluationIsDue() const {
    if (step_ == steps_) return true;
    const auto every = static_cast<int64_t>(
        std::llround(options_.eval.eval_epochs * static_cast<double>(batches_.steps_per_epoch())));
    return options_.eval.eval_epochs > 0 && step_ % std::max<int64_t>(1, every) == 0;
  }

  void StepDone(run::Progress& progress) {
    // A checkpoint begins a new line of metrics, so that no half of a mean has to be kept.
    const bool save = options_.run.save_every > 0 && step_ % options_.run.save_every == 0;
    bool stop = false;
    std::vector<run::Metric> metrics;
    if (save || Due(options_.run.log_every)) stop = Log(metrics, progress);
    if (EvaluationIsDue()) Evaluate(metrics);
    if (run_ != nullptr && !metrics.empty()) run_->metrics().Write(step_, metrics);
    if (step_ == steps_) return;
    if (stop || save) SaveCheckpoint();
    if (!stop) return;
    ranks_.Barrier();
    throw InterruptedError(fmt::format("stopped on request after step {}", step_),
                           run_ != nullptr ? run_->path().string() : "");
  }

  // Mean loss over ranks and steps since the last line; whether a rank was asked to stop.
  bool Log(std::vector<run::Metric>& metrics, run::Progress& progress) {
    std::array<double, 2> sums = {loss_sum_, StopRequested() ? 1.0 : 0.0};
    control_->AllReduce(std::span<double>(sums));
    const auto steps = static_cast<double>(step_ - logged_step_);
    result_.loss = sums[0] / (steps * ranks_.size());
    loss_sum_ = 0;
    logged_step_ = step_;
    metrics = {{"epoch", Epoch()},
               {"loss", result_.loss},
               {"lr", rate_.At(step_ - 1)},
               {"bytes_sent", Sent()},
               {"bytes_received", Received()},
               {"train_s", result_.train_seconds},
               {"compute_s", result_.compute_seconds},
               {"update_s", result_.update_seconds},
               {"wire_s", result_.wire_seconds},
               {"peak_memory_bytes", PeakMemoryBytes()}};
    progress.Note(fmt::format("loss {:.4f}", result_.loss));
    return sums[1] > 0;
  }

  void Evaluate(std::vector<run::Metric>& metrics) {
    const auto span = trace_.Span("evaluation");
    const Evaluation e = EvaluateAverage(replica_, algorithm_->OneModel(), batches_,
                                         data_.test.size(), step_, options_.eval, *control_);
    if (!std::isfinite(e.loss)) Diverged("the averaged model's loss is not finite");
    result_.test_loss = e.loss;
    result_.top1 = e.top1;
    result_.top5 = e.top5;
    result_.best_top1 = std::max(result_.best_top1, e.top1);
    result_.drift = e.drift;
    Reach(e.top1);
    if (metrics.empty()) metrics.emplace_back("epoch", Epoch());
    metrics.emplace_back("test_loss", e.loss);
    metrics.emplace_back("top1", e.top1);
    metrics.emplace_back("top5", e.top5);
    metrics.emplace_back("drift", e.drift);
    metrics.emplace_back("eval_bytes_sent", Sent());
    metrics.emplace_back("eval_train_s", result_.train_seconds);
    if (run_ != nullptr && e.drift > options_.run.drift_warning && !warned_of_drift_) {
      warned_of_drift_ = true;
      LogWarning(
          fmt::format("models are {:.2f} of their mean's norm apart from it: lower "
                      "schedule.lr, compress.ratio or compress.interval",
                      e.drift));
    }
  }

  void Reach(double accuracy) {
    for (const double target : options_.eval.targets) {
      const bool known = std::any_of(result_.targets.begin(), result_.targets.end(),
                                     [&](const auto& t) { return t.accuracy == target; });
      if (known || accuracy < target) continue;
      result_.targets.push_back({target, step_, Epoch(), Sent(), result_.train_seconds});
    }
  }

  int64_t Sent() const { return sent_before_ + ranks_.inner().traffic().sent; }
  int64_t Received() const { return received_before_ + ranks_.inner().traffic().received; }

  // ---- checkpoints. Every rank writes its own file into the directory that rank 0 names.

  void SaveCheckpoint() {
    const auto span = trace_.Span("checkpoint");
    const AveragedModel averaged = Average(replica_, algorithm_->OneModel(), *control_);
    if (run_ == nullptr) {
      // Where rank 0 has no run directory either, nothing is kept.
      const std::string directory = BroadcastText("");
      if (!directory.empty()) SaveRank(RankFile(directory, ranks_.rank()), replica_, *algorithm_);
      control_->Barrier();
      return;
    }
    run_->SaveCheckpoint(step_, [&](const fs::path& directory) {
      BroadcastText(directory.string());
      SaveAveraged(directory / "averaged.safetensors", replica_, averaged);
      SaveRank(RankFile(directory, 0), replica_, *algorithm_);
      control_->Barrier();
      return State();
    });
  }

  nlohmann::json State() const {
    nlohmann::json state = {{"ranks", ranks_.size()},
                            {"epoch", Epoch()},
                            {"layout", replica_.layout().Digest()},
                            {"sent", Sent()},
                            {"received", Received()},
                            {"logged_step", logged_step_},
                            {"loss", result_.loss},
                            {"best_top1", result_.best_top1},
                            {"train_seconds", result_.train_seconds},
                            {"compute_seconds", result_.compute_seconds},
                            {"update_seconds", result_.update_seconds},
                            {"wire_seconds", result_.wire_seconds},
                            {"targets", nlohmann::json::array()}};
    for (const ReachedTarget& target : result_.targets) state["targets"].push_back(ToJson(target));
    return state;
  }

  // Rank 0's text, on every rank.
  std::string BroadcastText(std::string text) {
    std::array<double, 1> size = {static_cast<double>(text.size())};
    control_->Broadcast(std::span<double>(size));
    text.resize(static_cast<size_t>(size[0]));
    if (!text.empty()) control_->Broadcast(std::as_writable_bytes(std::span<char>(text)));
    return text;
  }

  void Resume() {
    std::string path;
    if (run_ != nullptr && run_->resumed_from()) path = run_->resumed_from()->directory.string();
    path = BroadcastText(std::move(path));
    if (path.empty()) return;
    std::array<double, 1> step = {run_ != nullptr ? static_cast<double>(run_->resumed_from()->step)
                                                  : 0.0};
    control_->Broadcast(std::span<double>(step));
    step_ = static_cast<int64_t>(step[0]);
    const nlohmann::json state = run::CheckpointStore::ReadState({step_, path});
    if (state.at("layout").get<std::string>() != replica_.layout().Digest()) {
      throw UsageError("the checkpoint is of another network", path);
    }
    const int saved = state.at("ranks").get<int>();
    if (saved == ranks_.size()) {
      LoadRank(RankFile(path, ranks_.rank()), replica_, *algorithm_);
    } else {
      if (run_ != nullptr) {
        LogWarning(fmt::format(
            "the checkpoint is of {} ranks, this job has {}: all start from the averaged model",
            saved, ranks_.size()));
      }
      StartFromAverage(path, saved, replica_, *algorithm_);
    }
    RestoreNumbers(state);
    if (saved == ranks_.size()) return;
    // Another number of ranks takes another number of steps for the same data.
    const auto per_epoch = static_cast<double>(batches_.steps_per_epoch());
    step_ = std::min<int64_t>(steps_, std::llround(state.at("epoch").get<double>() * per_epoch));
    logged_step_ = step_;
  }

  void RestoreNumbers(const nlohmann::json& state) {
    sent_before_ = state.at("sent").get<int64_t>();
    received_before_ = state.at("received").get<int64_t>();
    logged_step_ = state.at("logged_step").get<int64_t>();
    result_.loss = state.at("loss").get<double>();
    result_.best_top1 = state.at("best_top1").get<double>();
    result_.train_seconds = state.at("train_seconds").get<double>();
    result_.compute_seconds = state.at("compute_seconds").get<double>();
    result_.update_seconds = state.at("update_seconds").get<double>();
    result_.wire_seconds = state.at("wire_seconds").get<double>();
    for (const auto& target : state.at("targets")) {
      result_.targets.push_back(ParseReachedTarget(target));
    }
  }

  // ---- the end

  void Finish() {
    const AveragedModel averaged = Average(replica_, algorithm_->OneModel(), *control_);
    result_.algorithm = NameOf(options_.optim.algo);
    result_.engine = std::string(ranks_.engine());
    result_.ranks = ranks_.size();
    result_.steps = step_;
    result_.epochs = Epoch();
    result_.parameters = replica_.layout().elements();
    result_.bytes_sent = Sent();
    result_.bytes_received = Received();
    result_.evaluation_bytes = control_->traffic().sent;
    result_.nominal_ratio = options_.compress.ratio;
    const double dense = BytesSent({replica_.layout().size() * step_, 0}, ranks_.size(), 4);
    if (ranks_.size() > 1 && Sent() > 0) result_.ratio = dense / static_cast<double>(Sent());
    if (run_ != nullptr) {
      result_.final = run_->path() / "final";
      fs::create_directories(result_.final);
      SaveAveraged(result_.final / "model.safetensors", replica_, averaged);
      WriteFileAtomically(result_.final / "config.json", Config().dump(2) + "\n");
    }
    ranks_.Barrier();
  }

  nlohmann::json Config() const {
    return {{"model_type", "image-network"},
            {"arch", options_.model.arch},
            {"stem_norms", options_.model.stem_norms},
            {"image", {data_.train.channels(), data_.train.height(), data_.train.width()}},
            {"classes", data_.train.classes()},
            {"mean", data_.mean},
            {"deviation", data_.deviation}};
  }

  const SyncTrainOptions& options_;
  const TrainSetting& setting_;
  const ImageData& data_;
  TimedCommunicator ranks_;
  std::unique_ptr<comm::Communicator> control_;  // its bytes are not those of training
  run::RunDir* run_;
  run::Trace no_trace_;
  run::Trace& trace_;
  ThreadPool pool_;
  Replica replica_;
  ResolvedAlgorithm resolved_;
  std::unique_ptr<Algorithm<float>> algorithm_;
  RankBatches batches_;
  int64_t steps_;
  LearningRate rate_;
  int64_t step_ = 0, logged_step_ = 0;
  double loss_sum_ = 0;
  int64_t sent_before_ = 0, received_before_ = 0;
  bool warned_of_drift_ = false;
  SyncResult result_;
};

}  // namespace

SyncResult Train(const SyncTrainOptions& options, const TrainSetting& setting,
                 const ImageData& data, comm::Communicator& communicator, run::RunDir* run) {
  at::set_num_threads(setting.threads);  // of this thread: a simulated rank has its own
  Trainer trainer(options, setting, data, communicator, run);
  return trainer.Run();
}

}  // namespace orchard::sync
