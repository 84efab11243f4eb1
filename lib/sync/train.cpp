#include "sync/train.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <numbers>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "base/peak_memory.h"
#include "base/signals.h"
#include "comm/device_ranks.h"
#include "run/progress.h"
#include "run/trace.h"
#include "sync/averaged_model.h"
#include "sync/drift_monitor.h"
#include "sync/job_ranks.h"
#include "sync/rank_checkpoint.h"
#include "sync/replica.h"
#include "sync/tune.h"

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
  Trainer(const SyncTrainOptions& options, const TrainSetting& setting, const TrainingData& data,
          comm::Communicator& ranks, run::RunDir* run)
      : options_(options),
        setting_(setting),
        data_(data),
        ranks_(ranks, options.run.ranks_per_node),
        run_(run),
        trace_(run != nullptr ? run->trace() : no_trace_),
        pool_(setting.threads),
        device_(setting.device != nullptr ? *setting.device : Device::Cpu()),
        replica_(data.MakeNetwork(options.model, setting.seed), device_),
        resolved_(Resolve(options.optim, options.compress)),
        batches_(data.Batches(options.data, ranks.rank(), ranks.size(), setting.seed, pool_)),
        steps_(Steps()),
        rate_(options.schedule, steps_, batches_->steps_per_epoch(),
              WarmupRatio(options.optim.algo, resolved_)),
        algorithm_(MakeAlgorithm<float>(options.optim, options.compress, replica_.layout(),
                                        setting.seed, StagesOf(options, rate_, steps_), device_)),
        streams_(options.compress.overlap && options.run.grad_clip == 0 && algorithm_->Streams() &&
                 !ranks_.hierarchical()),
        drift_(options.run.drift_warning,
               options.eval.bn == NormEvaluation::kRankMean && !replica_.statistics().empty()) {
    CheckAgreement();
    WarnOfSkew();
    OpenDeviceRanks();
  }

  SyncResult Run() {
    ranks_.control().Broadcast(replica_.values());
    algorithm_->Begin(replica_.values());
    algorithm_->ResumeAt(0);
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
    const double per_epoch = static_cast<double>(batches_->steps_per_epoch());
    const auto steps = std::max<int64_t>(1, std::llround(options_.run.epochs * per_epoch));
    const int64_t most = options_.run.max_steps;
    return most > 0 ? std::min(steps, most) : steps;
  }

  double Epoch() const {
    return static_cast<double>(step_) / static_cast<double>(batches_->steps_per_epoch());
  }

  // ---- before the first step

  void CheckAgreement() {
    if (ranks_.size() == 1) return;
    ranks_.RequireSame(fmt::format("{}\n[]\nseed = {}\nsteps = {}\nnetwork = {}\ndata = {}\n",
                                   setting_.configuration, setting_.seed, steps_,
                                   replica_.layout().Digest(), data_.Digest()));
  }

  // Where every rank has a GPU of its own, messages go from one to the other.
  void OpenDeviceRanks() {
    if (ranks_.size() == 1 || ranks_.hierarchical() || !algorithm_->CanSendFromDevice()) return;
    auto link = comm::OpenNcclBeside(ranks_.control(), device_.index(), /*stream=*/nullptr);
    if (link != nullptr) algorithm_->SendFromDevice(ranks_.AddDeviceRanks(std::move(link)));
  }

  void WarnOfSkew() {
    result_.label_skew = batches_->skew().measured;
    const double chance = 0.1 + batches_->skew().by_chance;
    if (run_ == nullptr || ranks_.size() == 1 || result_.label_skew < chance) return;
    LogWarning(fmt::format(
        "the labels of a rank differ from those of all (total variation {:.2f}): error reset loses "
        "accuracy on such shards, error feedback (qsparse, ef-sgd) or a small ratio loses less",
        result_.label_skew));
  }

  // ---- one step

  void Step() {
    const auto span = trace_.Span("step");
    const Clock::time_point begin = Clock::now();
    const double stopped_before = ranks_.seconds();
    const StepInput<float> input{.step = step_ + 1,
                                 .learning_rate = rate_.At(step_),
                                 .values = replica_.values(),
                                 .gradient = replica_.gradient(),
                                 .ranks = ranks_.algorithm(),
                                 .pool = setting_.threads > 1 ? &pool_ : nullptr};
    {
      const auto compute = trace_.Span("forward and backward");
      const LabelledBatch batch = batches_->Train(step_);
      // Of a loss that is not finite nothing is sent, but the backward pass runs: it shows the
      // tensor.
      double loss = 0;
      const auto start = [&](double of_batch) {
        loss = of_batch;
        if (streams_ && std::isfinite(loss)) algorithm_->Start(input);
      };
      std::function<void(size_t)> ready;
      if (streams_) {
        ready = [&](size_t slot) {
          if (std::isfinite(loss)) algorithm_->Ready(slot);
        };
      }
      replica_.Gradient(batch.inputs, batch.labels, start, ready);
      CheckLoss(loss);
      loss_sum_ += loss;
    }
    const Clock::time_point computed = Clock::now();
    const double stopped_in_pass = ranks_.seconds() - stopped_before;
    {
      const auto update = trace_.Span("update and wire");
      if (streams_) {
        algorithm_->Finish();
      } else {
        StepAtOnce(input);
      }
      FixDrift();
    }
    const double stopped = ranks_.seconds() - stopped_before;
    waits_.Add(stopped);
    result_.compute_seconds +=
        std::chrono::duration<double>(computed - begin).count() - stopped_in_pass;
    result_.update_seconds += Since(computed) - (stopped - stopped_in_pass);
    result_.train_seconds += Since(begin);
  }

  void StepAtOnce(StepInput<float> input) {
    ranks_.AverageInNode(input.gradient);
    input.gradient_scale = GradientScale();
    algorithm_->Step(input);
  }

  void CheckLoss(double loss) {
    if (std::isfinite(loss)) return;
    Diverged(std::isnan(loss) ? "the loss is nan" : "the loss is infinite");
  }

  // The common part x_i - e_i is the same on all ranks but for rounding, which adds up: now and
  // then all take that of rank 0.
  void FixDrift() {
    const int64_t every = options_.run.drift_fix * resolved_.interval;
    if (every == 0 || (step_ + 1) % every != 0 || algorithm_->error().empty()) return;
    const std::span<float> x = replica_.values();
    std::vector<float> own(x.begin(), x.end());
    algorithm_->RemoveErrors(own);
    std::vector<float> common = own;
    ranks_.algorithm().Broadcast(std::span<float>(common));
    for (size_t i = 0; i < own.size(); ++i) x[i] += common[i] - own[i];
  }

  // Clips the rank's own gradient; that of DGC to a part of the bound, since n of them are added.
  double GradientScale() {
    double bound = options_.run.grad_clip;
    if (bound == 0) return 1;
    if (options_.optim.algo == AlgorithmKind::kDgc) bound /= std::sqrt(ranks_.algorithm().size());
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
        std::llround(options_.eval.eval_epochs * static_cast<double>(batches_->steps_per_epoch())));
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
    ranks_.control().Barrier();
    throw InterruptedError(fmt::format("stopped on request after step {}", step_),
                           run_ != nullptr ? run_->path().string() : "");
  }

  // Mean loss over ranks and steps since the last line; whether a rank was asked to stop.
  bool Log(std::vector<run::Metric>& metrics, run::Progress& progress) {
    const WaitMeter::Split split = waits_.Take(ranks_.control());
    result_.wire_seconds += split.wire;
    result_.wait_seconds += split.wait;
    std::array<double, 2> sums = {loss_sum_, StopRequested() ? 1.0 : 0.0};
    ranks_.control().AllReduce(std::span<double>(sums));
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
               {"wait_s", result_.wait_seconds},
               {"peak_memory_bytes", PeakMemoryBytes()}};
    progress.Note(fmt::format("loss {:.4f}", result_.loss));
    return sums[1] > 0;
  }

  void Evaluate(std::vector<run::Metric>& metrics) {
    const auto span = trace_.Span("evaluation");
    const Evaluation e = EvaluateAverage(replica_, algorithm_.get(), *batches_, data_.test_size(),
                                         step_, options_.eval, ranks_.control());
    if (!std::isfinite(e.loss)) Diverged("the averaged model's loss is not finite");
    result_.test_loss = e.loss;
    result_.top1 = e.top1;
    result_.top5 = e.top5;
    result_.best_top1 = std::max(result_.best_top1, e.top1);
    result_.drift = e.drift;
    Reach(e.top1);
    if (metrics.empty()) metrics.emplace_back("epoch", Epoch());
    metrics.emplace_back("test_loss", e.loss);
    if (data_.predicts_bytes()) {
      result_.bits_per_byte = e.loss / std::numbers::ln2;
      metrics.emplace_back("bits_per_byte", *result_.bits_per_byte);
      metrics.emplace_back("perplexity", std::exp(e.loss));
    }
    metrics.emplace_back("top1", e.top1);
    metrics.emplace_back("top5", e.top5);
    metrics.emplace_back("drift", e.drift);
    metrics.emplace_back("eval_bytes_sent", Sent());
    metrics.emplace_back("eval_train_s", result_.train_seconds);
    for (const std::string& text : drift_.After(result_.loss, e.top1, e.drift)) {
      if (run_ != nullptr) LogWarning(text);
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

  int64_t Sent() const { return sent_before_ + ranks_.traffic().sent; }
  int64_t SentOnEthernet() const { return on_ethernet_before_ + ranks_.sent_on_ethernet(); }
  int64_t SentInNode() const { return sent_in_node_before_ + ranks_.sent_in_node(); }
  int64_t Received() const { return received_before_ + ranks_.traffic().received; }

  // ---- checkpoints. Every rank writes its own file into the directory that rank 0 names.

  void SaveCheckpoint() {
    const auto span = trace_.Span("checkpoint");
    const AveragedModel averaged = Average(replica_, algorithm_.get(), ranks_.control());
    if (run_ == nullptr) {
      // Where rank 0 has no run directory either, nothing is kept.
      const std::string directory = ranks_.BroadcastText("");
      if (!directory.empty()) SaveRank(RankFile(directory, ranks_.rank()), replica_, *algorithm_);
      ranks_.control().Barrier();
      return;
    }
    run_->SaveCheckpoint(step_, [&](const fs::path& directory) {
      ranks_.BroadcastText(directory.string());
      SaveAveraged(directory / kAveragedFile, replica_, averaged);
      SaveRank(RankFile(directory, 0), replica_, *algorithm_);
      ranks_.control().Barrier();
      return State();
    });
  }

  nlohmann::json State() const {
    nlohmann::json state = {{"ranks", ranks_.size()},
                            {"epoch", Epoch()},
                            {"layout", replica_.layout().Digest()},
                            {"sent", Sent()},
                            {"received", Received()},
                            {"sent_on_ethernet", SentOnEthernet()},
                            {"logged_step", logged_step_},
                            {"loss", result_.loss},
                            {"best_top1", result_.best_top1},
                            {"train_seconds", result_.train_seconds},
                            {"compute_seconds", result_.compute_seconds},
                            {"update_seconds", result_.update_seconds},
                            {"wire_seconds", result_.wire_seconds},
                            {"wait_seconds", result_.wait_seconds},
                            {"sent_in_node", SentInNode()},
                            {"targets", nlohmann::json::array()}};
    for (const ReachedTarget& target : result_.targets) state["targets"].push_back(ToJson(target));
    return state;
  }

  void Resume() {
    std::string path;
    if (run_ != nullptr && run_->resumed_from()) path = run_->resumed_from()->directory.string();
    path = ranks_.BroadcastText(std::move(path));
    if (path.empty()) return;
    std::array<double, 1> step = {run_ != nullptr ? static_cast<double>(run_->resumed_from()->step)
                                                  : 0.0};
    ranks_.control().Broadcast(std::span<double>(step));
    step_ = static_cast<int64_t>(step[0]);
    const nlohmann::json state = run::CheckpointStore::ReadState({step_, path});
    if (state.at("layout").get<std::string>() != replica_.layout().Digest()) {
      throw UsageError("the checkpoint is of another network", path);
    }
    const int saved = state.at("ranks").get<int>();
    if (saved == ranks_.size()) {
      algorithm_->ResumeAt(step_);
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
    const auto per_epoch = static_cast<double>(batches_->steps_per_epoch());
    step_ = std::min<int64_t>(steps_, std::llround(state.at("epoch").get<double>() * per_epoch));
    logged_step_ = step_;
  }

  void RestoreNumbers(const nlohmann::json& state) {
    sent_before_ = state.at("sent").get<int64_t>();
    received_before_ = state.at("received").get<int64_t>();
    on_ethernet_before_ = state.at("sent_on_ethernet").get<int64_t>();
    logged_step_ = state.at("logged_step").get<int64_t>();
    result_.loss = state.at("loss").get<double>();
    result_.best_top1 = state.at("best_top1").get<double>();
    result_.train_seconds = state.at("train_seconds").get<double>();
    result_.compute_seconds = state.at("compute_seconds").get<double>();
    result_.update_seconds = state.at("update_seconds").get<double>();
    result_.wire_seconds = state.at("wire_seconds").get<double>();
    result_.wait_seconds = state.at("wait_seconds").get<double>();
    sent_in_node_before_ = state.at("sent_in_node").get<int64_t>();
    for (const auto& target : state.at("targets")) {
      result_.targets.push_back(ParseReachedTarget(target));
    }
  }

  // ---- the end

  void Finish() {
    const AveragedModel averaged = Average(replica_, algorithm_.get(), ranks_.control());
    result_.algorithm = NameOf(options_.optim.algo);
    result_.engine = std::string(ranks_.engine());
    result_.ranks = ranks_.size();
    result_.steps = step_;
    result_.epochs = Epoch();
    result_.parameters = replica_.layout().elements();
    result_.bytes_sent = Sent();
    result_.bytes_received = Received();
    result_.node_bytes_sent = SentInNode();
    result_.wire_bytes_estimated = SentOnEthernet();
    result_.evaluation_bytes = ranks_.control().traffic().sent;
    result_.nominal_ratio = options_.compress.ratio;
    // Of what rank 0 carries between the algorithm's ranks.
    const int n = ranks_.algorithm().size();
    const double dense = BytesSent({.reduced = replica_.layout().size() * step_}, n, 4) * n /
                         static_cast<double>(ranks_.size());
    if (Sent() > 0) result_.ratio = dense / static_cast<double>(Sent());
    if (run_ != nullptr) {
      result_.final = run_->path() / "final";
      fs::create_directories(result_.final);
      SaveAveraged(result_.final / "model.safetensors", replica_, averaged);
      WriteFileAtomically(result_.final / "config.json",
                          data_.Config(options_.model).dump(2) + "\n");
    }
    ranks_.control().Barrier();
  }

  const SyncTrainOptions& options_;
  const TrainSetting& setting_;
  const TrainingData& data_;
  JobRanks ranks_;
  run::RunDir* run_;
  run::Trace no_trace_;
  run::Trace& trace_;
  ThreadPool pool_;
  const Device& device_;
  Replica replica_;
  ResolvedAlgorithm resolved_;
  std::unique_ptr<RankBatches> batches_;
  int64_t steps_;
  LearningRate rate_;
  std::unique_ptr<Algorithm<float>> algorithm_;
  bool streams_;  // whether messages leave during the backward pass
  WaitMeter waits_;
  DriftMonitor drift_;
  int64_t step_ = 0, logged_step_ = 0;
  double loss_sum_ = 0;
  int64_t sent_before_ = 0, received_before_ = 0, sent_in_node_before_ = 0, on_ethernet_before_ = 0;
  SyncResult result_;
};

}  // namespace

SyncResult Train(const SyncTrainOptions& options, const TrainSetting& setting,
                 const TrainingData& data, comm::Communicator& communicator, run::RunDir* run) {
  at::set_num_threads(setting.threads);  // of this thread: a simulated rank has its own
  if (setting.device != nullptr) setting.device->Enter();
  if (!options.run.auto_tune) return Trainer(options, setting, data, communicator, run).Run();
  std::string tuning;
  const SyncTrainOptions tuned = TunedOptions(options, setting, data, communicator, run, tuning);
  SyncResult result = Trainer(tuned, setting, data, communicator, run).Run();
  result.tuning = std::move(tuning);
  return result;
}

}  // namespace orchard::sync
