#include "expand/train.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/peak_memory.h"
#include "base/signals.h"
#include "expand/batches.h"
#include "expand/evaluate.h"
#include "expand/gradient_sum.h"
#include "expand/growth_stage.h"
#include "expand/learner.h"
#include "expand/task_scores.h"
#include "expand/train_model.h"
#include "expand/train_tokenizer.h"
#include "expand/training_flops.h"
#include "expand/unit_divergence.h"
#include "nn/device.h"
#include "run/progress.h"
#include "run/trace.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

nn::ScheduleOptions WithWarmup(const TrainScheduleOptions& options, int64_t steps) {
  nn::ScheduleOptions schedule = options.schedule;
  if (options.warmup_part) {
    schedule.warmup = std::llround(*options.warmup_part * static_cast<double>(steps));
  }
  return schedule;
}

int64_t Steps(const TrainOptions& options, int64_t train_size, int64_t global_batch) {
  if (!options.sched.epochs) return options.sched.steps;
  const double samples = *options.sched.epochs * static_cast<double>(train_size);
  return std::max<int64_t>(1, std::llround(samples / static_cast<double>(global_batch)));
}

// What one step found out, over all ranks.
struct StepNumbers {
  double loss = 0, learning_rate = 0, gradient_norm = 0, flops = 0;
  int64_t tokens = 0;
  bool stop = false;
};

class Trainer {
 public:
  Trainer(const TrainOptions& options, const TrainSetting& setting, comm::Communicator& ranks,
          run::RunDir* run)
      : options_(options),
        setting_(setting),
        ranks_(ranks),
        run_(run),
        trace_(run != nullptr ? run->trace() : no_trace_),
        device_(nn::ResolveDevice(setting.device)),
        pool_(setting.threads),
        tokenizer_(OpenTrainTokenizer(options.data, options.model.path)),
        batches_(
            OpenBatches(options.data, tokenizer_ ? &*tokenizer_ : nullptr, setting.seed, pool_)),
        sampler_(batches_->train_size(), setting.seed, true,
                 options.data.kind == DataKind::kImage ? options.data.repeats : 1),
        global_batch_(options.run.batch * options.run.accum * ranks.size()),
        steps_(Steps(options, batches_->train_size(), global_batch_)),
        schedule_(WithWarmup(options.sched, steps_), options.opt.lr, steps_),
        stages_(ParseStages(options.expand.staged, steps_)) {
    LearnFrom(options.model.path);
    if (const nn::Transformer* model = learner_->network().transformer()) {
      CheckStages(stages_, arch::FindArchitecture(model->config().model_type),
                  learner_->model().config);
    }
    CheckMask();
  }

  TrainResult Run() {
    if (!Resume()) BeginStage();
    run::Progress progress("train", steps_, "steps",
                           {.enabled = setting_.progress && run_ != nullptr, .start = step_});
    const Clock::time_point begin = Clock::now();
    if (step_ == 0) Begin();
    while (step_ < steps_) {
      if (stage_ < stages_.size() && stages_[stage_].at_step == step_) Grow();
      const Clock::time_point step_begin = Clock::now();
      const StepNumbers numbers = Step();
      ++step_;
      Count(numbers);
      const double seconds = Since(step_begin);
      Log(numbers, static_cast<double>(numbers.tokens) / seconds);
      progress.Note(fmt::format("loss {:.4f}", numbers.loss));
      progress.Advance();
      StepDone(numbers.stop && step_ < steps_);
    }
    result_.seconds = Since(begin);
    Finish();
    return result_;
  }

 private:
  // A learner whose model comes from `path`, or is as the options say.
  void LearnFrom(const fs::path& path) {
    TrainModelOptions model = options_.model;
    if (path != model.path) {
      model.path = path;
      model.init = Initial::kLoad;
    }
    learner_ =
        std::make_unique<Learner>(OpenTrainModel(model, batches_->shape(), options_.data.kind,
                                                 options_.run.precision, setting_.seed),
                                  options_, ranks_, device_);
  }

  // The loss before anything is learnt: an expanded model has its source's.
  void Begin() {
    std::vector<run::Metric> metrics = Validation(false);
    result_.first_valid_loss = std::exchange(result_.valid_loss, std::nullopt);
    AddDivergence(metrics);
    if (run_ != nullptr && !metrics.empty()) run_->metrics().Write(0, metrics);
  }

  void BeginStage() {
    TrainStage stage;
    stage.first_step = step_;
    stage.parameters = learner_->network().parameters().elements();
    result_.stages.push_back(stage);
  }

  // ---- growth

  // A mask that is not open when the run ends, or when the model grows again, would be lost.
  void CheckMask() const {
    const int64_t ramp = options_.model.mask_ramp;
    if (ramp == 0) return;
    int64_t begin = 0;
    for (const GrowthStage& stage : stages_) {
      if (stage.method.method != Method::kZeroPad) {
        throw UsageError("mask_ramp needs method=zero-pad in every growth", "expand.staged");
      }
      if (begin > 0 && begin + ramp > stage.at_step) {
        throw UsageError("the mask of a growth would not be open at the next", "model.mask_ramp");
      }
      begin = stage.at_step;
    }
    if (begin + ramp > steps_) {
      throw UsageError("the mask would not be open at the end of the run", "model.mask_ramp");
    }
  }

  fs::path StageDirectory(const fs::path& run, size_t stage) const {
    return run / "stages" / std::to_string(stage);
  }

  // Rank 0 grows the model on disk; all ranks go on with the result. What was metered of the growth
  // stands in the line of the next step: a checkpoint of this one is a state before it.
  void Grow() {
    const auto span = trace_.Span("growth");
    const std::optional<double> before = ValidLoss();
    std::string grown;
    if (ranks_.rank() == 0) {
      if (run_ == nullptr) throw UsageError("a run that grows needs a directory", "--out");
      const fs::path destination = StageDirectory(run_->path(), stage_ + 1);
      fs::path source = destination;
      source += ".source";
      fs::create_directories(source);
      learner_->Save(source);
      GrowInRun(stages_[stage_], source, destination, setting_.seed + stage_ + 1, setting_.threads);
      fs::remove_all(source);
      grown = destination.string();
    }
    grown = BroadcastText(std::move(grown));
    learner_.reset();  // before the bigger one is there
    LearnFrom(grown);
    learner_->LoadState(grown);
    ++stage_;
    BeginStage();
    result_.stages.back().loss_before = before;
    result_.stages.back().loss_after = ValidLoss();
  }

  std::optional<double> ValidLoss() {
    const auto averaged = learner_->Averaged();
    const Evaluation e = Evaluate();
    return e.predictions > 0 ? std::optional(e.loss()) : std::nullopt;
  }

  // Updates since the model last grew: within the run, or before it.
  int64_t SinceGrowth() const {
    if (stage_ > 0) return step_ - stages_[stage_ - 1].at_step;
    // A run that is to grow does not warm up twice.
    return stages_.empty() || learner_->model().copies ? step_ : schedule_.steps();
  }

  // ---- one step

  StepNumbers Step() {
    const auto span = trace_.Span("step");
    learner_->OpenMask(SinceGrowth());
    std::vector<double> sums(5);  // loss, predictions, tokens, ranks asked to stop, FLOPs
    for (int64_t micro = 0; micro < options_.run.accum; ++micro) AddGradients(micro, sums);
    sums[3] = StopRequested() ? 1 : 0;
    {
      const auto reduce = trace_.Span("all-reduce");
      SumOverRanks(ranks_, sums);
      learner_->AllReduce();
    }
    StepNumbers numbers;
    const double predictions = std::max(1.0, sums[1]);
    numbers.loss = sums[0] / predictions;
    numbers.tokens = static_cast<int64_t>(sums[2]);
    numbers.stop = sums[3] > 0;
    numbers.flops = sums[4];
    numbers.learning_rate = schedule_.At(step_, SinceGrowth());
    if (!std::isfinite(numbers.loss)) {
      throw DivergedError(fmt::format("the loss is {}", numbers.loss),
                          fmt::format("step {}", step_),
                          "lower the learning rate, warm up longer or set opt.clip");
    }
    const auto update = trace_.Span("optimizer");
    numbers.gradient_norm = learner_->Update(numbers.learning_rate, predictions);
    return numbers;
  }

  // One micro-batch: forward, loss, backward.
  void AddGradients(int64_t micro, std::vector<double>& sums) {
    const int64_t batch = options_.run.batch;
    const int64_t cursor = Cursor() + micro * batch * ranks_.size();
    Example example;
    {
      const auto span = trace_.Span("batch");
      example = ToDevice(
          batches_->Train(sampler_.Batch(cursor, batch, ranks_.rank(), ranks_.size())), device_);
    }
    const int64_t number = (step_ * options_.run.accum + micro) * ranks_.size() + ranks_.rank();
    const nn::TrainingContext context{setting_.seed, static_cast<uint64_t>(number),
                                      options_.model.grad_checkpoint};
    const auto span = trace_.Span("forward and backward");
    sums[0] += learner_->AddGradients(example, context);
    sums[1] += static_cast<double>(example.predictions);
    sums[2] += static_cast<double>(example.tokens);
    sums[4] += TrainingFlops(learner_->network(), example.inputs);
  }

  void Count(const StepNumbers& numbers) {
    TrainStage& stage = result_.stages.back();
    ++stage.steps;
    stage.tokens += numbers.tokens;
    stage.flops += numbers.flops;
    result_.tokens += numbers.tokens;
    result_.flops += numbers.flops;
    result_.loss = numbers.loss;
  }

  // ---- metrics

  // Whether something that is done `every` so many steps (0: never) is due after this step; it is
  // after the last.
  bool Due(int64_t every) const { return step_ == steps_ || (every > 0 && step_ % every == 0); }

  bool ValidationIsDue() const {
    if (!options_.run.eval_epochs) return Due(options_.run.eval_every);
    const int64_t size = batches_->train_size();
    return step_ == steps_ || Cursor() / size > (Cursor() - global_batch_) / size;
  }

  void Log(const StepNumbers& n, double tokens_per_second) {
    const TrainRunOptions& o = options_.run;
    std::vector<run::Metric> metrics;
    const TrainStage& stage = result_.stages.back();
    const bool grew = stage.steps == 1 && stage_ > 0;
    if (Due(o.log_every) || grew) {
      metrics = {{"loss", n.loss},
                 {"lr", n.learning_rate},
                 {"grad_norm", n.gradient_norm},
                 {"tokens_per_second", tokens_per_second},
                 {"peak_memory_bytes", PeakMemoryBytes()}};
      if (result_.flops > 0) metrics.emplace_back("flops", result_.flops);
      if (const auto bytes = nn::PeakAllocatedBytes(device_)) {
        metrics.emplace_back("device_peak_memory_bytes", *bytes);
      }
    }
    if (grew) {
      metrics.emplace_back("stage", static_cast<int64_t>(stage_));
      metrics.emplace_back("parameters", stage.parameters);
      if (stage.loss_before) metrics.emplace_back("loss_before_growth", *stage.loss_before);
      if (stage.loss_after) metrics.emplace_back("loss_after_growth", *stage.loss_after);
    }
    const bool validate = ValidationIsDue();
    if (validate) {
      for (run::Metric& m : Validation(true)) metrics.push_back(m);
    }
    if (o.divergence_every > 0 ? Due(o.divergence_every) : validate) AddDivergence(metrics);
    if (run_ != nullptr && !metrics.empty()) run_->metrics().Write(step_, metrics);
  }

  Evaluation Evaluate() {
    const auto span = trace_.Span("validation");
    learner_->OpenMask(SinceGrowth());
    return EvaluateBatches(learner_->network(), *batches_, options_.run.batch,
                           options_.run.eval_batches, ranks_, device_);
  }

  // Validates the moving average where there is one. Nothing without validation data.
  std::vector<run::Metric> Validation(bool may_be_best) {
    const auto averaged = learner_->Averaged();
    const Evaluation e = Evaluate();
    if (e.predictions == 0) return {};
    result_.valid_loss = e.loss();
    result_.accuracy = e.accuracy();
    std::vector<run::Metric> metrics = {{"valid_loss", e.loss()}};
    for (const auto& [name, value] : TaskScores(e)) {
      metrics.emplace_back(name == "top1" ? std::string_view("valid_top1") : name, value);
    }
    if (may_be_best && options_.run.keep_best) KeepIfBest(e);
    return metrics;
  }

  void KeepIfBest(const Evaluation& e) {
    const double selected = Selected(e, options_.run.select);
    if (result_.best && selected <= result_.best->selected) return;
    result_.best = {step_,
                    static_cast<double>(Cursor()) / static_cast<double>(batches_->train_size()),
                    selected,
                    e.loss(),
                    {}};
    for (const auto& [name, value] : TaskScores(e)) result_.best->scores[std::string(name)] = value;
    if (run_ == nullptr) return;
    const fs::path best = run_->path() / "best";
    fs::path fresh = best;
    fresh += ".partial";
    fs::remove_all(fresh);
    SaveTrainModel(learner_->model(), fresh);
    fs::remove_all(best);
    fs::rename(fresh, best);
  }

  // How far the copies of an expanded model's units are apart. All ranks hold the same weights, so
  // one looks.
  void AddDivergence(std::vector<run::Metric>& metrics) {
    if (run_ == nullptr || !learner_->model().copies) return;
    const auto span = trace_.Span("copy divergence");
    result_.copy_divergence =
        UnitDivergence(*learner_->network().transformer(), *learner_->model().copies);
    if (result_.copy_divergence) metrics.emplace_back("copy_divergence", *result_.copy_divergence);
  }

  // ---- checkpoints

  int64_t Cursor() const { return step_ * global_batch_; }

  void StepDone(bool stop) {
    const auto write = [this](const fs::path& directory) { return SaveState(directory); };
    if (!stop) {
      if (run_ != nullptr) run_->StepDone(step_, write, false);
      return;
    }
    if (run_ != nullptr) run_->SaveCheckpoint(step_, write);
    ranks_.Barrier();  // nobody leaves before the checkpoint is whole
    throw InterruptedError(fmt::format("stopped on request after step {}", step_),
                           run_ != nullptr ? run_->path().string() : "");
  }

  nlohmann::json SaveState(const fs::path& directory) {
    learner_->Save(directory);
    nlohmann::json state = {
        {"cursor", Cursor()},
        {"random", {{"seed", setting_.seed}, {"pass", step_ * options_.run.accum * ranks_.size()}}},
        {"tokens", result_.tokens},
        {"flops", result_.flops},
        {"loss", result_.loss},
        {"stages", nlohmann::json::array()}};
    for (const TrainStage& stage : result_.stages) state["stages"].push_back(ToJson(stage));
    if (result_.best) state["best"] = ToJson(*result_.best);
    if (result_.first_valid_loss) state["first_valid_loss"] = *result_.first_valid_loss;
    return state;
  }

  // Rank 0's text, on every rank.
  std::string BroadcastText(std::string text) {
    std::vector<double> size = {static_cast<double>(text.size())};
    ranks_.Broadcast(std::span<double>(size));
    text.resize(static_cast<size_t>(size[0]));
    if (!text.empty()) ranks_.Broadcast(std::as_writable_bytes(std::span<char>(text)));
    return text;
  }

  // Rank 0 knows the checkpoint; the others read it from the same file system. False without one.
  bool Resume() {
    std::string path;
    if (run_ != nullptr && run_->resumed_from()) path = run_->resumed_from()->directory.string();
    path = BroadcastText(std::move(path));
    if (path.empty()) return false;
    std::vector<double> step = {run_ != nullptr ? static_cast<double>(run_->resumed_from()->step)
                                                : 0.0};
    ranks_.Broadcast(std::span<double>(step));
    step_ = static_cast<int64_t>(step[0]);
    const nlohmann::json state = run::CheckpointStore::ReadState({step_, path});
    if (state.at("cursor").get<int64_t>() != Cursor()) {
      throw UsageError(
          "the run to resume had another number of ranks or samples per step", path,
          fmt::format("its data cursor is {}, not {}", state.at("cursor").dump(), Cursor()));
    }
    result_.tokens = state.at("tokens").get<int64_t>();
    result_.flops = state.at("flops").get<double>();
    result_.loss = state.at("loss").get<double>();
    if (state.contains("first_valid_loss")) {
      result_.first_valid_loss = state.at("first_valid_loss").get<double>();
    }
    for (const nlohmann::json& stage : state.at("stages")) {
      result_.stages.push_back(ParseTrainStage(stage));
    }
    if (state.contains("best")) result_.best = ParseBestValidation(state.at("best"));
    stage_ = result_.stages.size() - 1;
    if (stage_ > 0) LearnFrom(StageDirectory(fs::path(path).parent_path().parent_path(), stage_));
    learner_->Load(path);
    return true;
  }

  void Finish() {
    result_.steps = step_;
    result_.parameters = learner_->network().parameters().elements();
    result_.trained_parameters = learner_->trained_parameters();
    if (run_ != nullptr) {
      result_.final = run_->path() / "final";
      SaveTrainModel(learner_->model(), result_.final);
      if (const auto averaged = learner_->Averaged()) {
        SaveTrainModel(learner_->model(), run_->path() / "final-ema");
      }
      if (result_.best) result_.best_model = run_->path() / "best";
    }
    ranks_.Barrier();
  }

  const TrainOptions& options_;
  const TrainSetting& setting_;
  comm::Communicator& ranks_;
  run::RunDir* run_;
  run::Trace no_trace_;
  run::Trace& trace_;
  at::Device device_;
  ThreadPool pool_;
  std::optional<text::Tokenizer> tokenizer_;
  std::unique_ptr<Batches> batches_;
  data::Sampler sampler_;
  int64_t global_batch_, steps_;
  nn::Schedule schedule_;
  std::vector<GrowthStage> stages_;
  size_t stage_ = 0;  // growths done
  std::unique_ptr<Learner> learner_;
  int64_t step_ = 0;
  TrainResult result_;
};

}  // namespace

TrainResult Train(const TrainOptions& options, const TrainSetting& setting,
                  comm::Communicator& communicator, run::RunDir* run) {
  at::set_num_threads(setting.threads);  // of this thread: a simulated rank has its own
  Trainer trainer(options, setting, communicator, run);
  return trainer.Run();
}

}  // namespace orchard::expand
