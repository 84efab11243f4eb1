#include "expand/train.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/signals.h"
#include "expand/batches.h"
#include "expand/evaluate.h"
#include "expand/gradient_sum.h"
#include "expand/running_statistics.h"
#include "expand/train_model.h"
#include "expand/train_tokenizer.h"
#include "io/torch/tensors.h"
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

int64_t PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// Without clipping the norm is wanted all the same: as a metric, and to notice what is not finite.
nn::OptimizerOptions WithNorm(nn::OptimizerOptions options) {
  if (options.clip == 0) options.clip = std::numeric_limits<double>::infinity();
  return options;
}

int64_t Steps(const TrainOptions& options, int64_t train_size, int64_t global_batch) {
  if (!options.sched.epochs) return options.sched.steps;
  const double samples = *options.sched.epochs * static_cast<double>(train_size);
  return std::max<int64_t>(1, std::llround(samples / static_cast<double>(global_batch)));
}

// What one step found out, over all ranks.
struct StepNumbers {
  double loss = 0, learning_rate = 0, gradient_norm = 0;
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
        model_(OpenTrainModel(options.model, batches_->shape(), options.data.kind,
                              options.run.precision, setting.seed)),
        sampler_(batches_->train_size(), setting.seed),
        global_batch_(options.run.batch * options.run.accum * ranks.size()),
        schedule_(options.sched.schedule, options.opt.lr,
                  Steps(options, batches_->train_size(), global_batch_)),
        optimizer_(TrainedTensors(OnDevice(model_, device_), options.model, options.opt),
                   WithNorm(options.opt)),
        gradients_(optimizer_.tensors(), ranks),
        statistics_(model_.network, ranks) {}

  TrainResult Run() {
    Resume();
    run::Progress progress("train", schedule_.steps(), "steps",
                           {.enabled = setting_.progress && run_ != nullptr, .start = step_});
    const Clock::time_point begin = Clock::now();
    if (step_ == 0) Begin();
    while (step_ < schedule_.steps()) {
      const Clock::time_point step_begin = Clock::now();
      const StepNumbers numbers = Step();
      ++step_;
      result_.loss = numbers.loss;
      result_.tokens += numbers.tokens;
      const double seconds = Since(step_begin);
      Log(numbers, static_cast<double>(numbers.tokens) / seconds);
      progress.Note(fmt::format("loss {:.4f}", numbers.loss));
      progress.Advance();
      StepDone(numbers.stop && step_ < schedule_.steps());
    }
    result_.seconds = Since(begin);
    Finish();
    return result_;
  }

 private:
  // The loss before anything is learnt: an expanded model has its source's.
  void Begin() {
    const Evaluation validation = Validate();
    if (validation.predictions == 0) return;
    result_.first_valid_loss = validation.loss();
    if (run_ != nullptr) run_->metrics().Write(0, ValidationMetrics(validation));
  }

  StepNumbers Step() {
    const auto span = trace_.Span("step");
    std::vector<double> sums(4);  // loss, predictions, tokens, ranks asked to stop
    for (int64_t micro = 0; micro < options_.run.accum; ++micro) AddGradients(micro, sums);
    sums[3] = StopRequested() ? 1 : 0;
    {
      const auto reduce = trace_.Span("all-reduce");
      SumOverRanks(ranks_, sums);
      gradients_.AllReduce();
      statistics_.Apply();
    }
    StepNumbers numbers;
    const double predictions = std::max(1.0, sums[1]);
    numbers.loss = sums[0] / predictions;
    numbers.tokens = static_cast<int64_t>(sums[2]);
    numbers.stop = sums[3] > 0;
    numbers.learning_rate = schedule_.At(step_);
    if (!std::isfinite(numbers.loss)) {
      throw DivergedError(fmt::format("the loss is {}", numbers.loss),
                          fmt::format("step {}", step_),
                          "lower the learning rate, warm up longer or set opt.clip");
    }
    const auto update = trace_.Span("optimizer");
    numbers.gradient_norm = optimizer_.Step(numbers.learning_rate, 1 / predictions).value_or(0);
    optimizer_.ClearGradients();
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
    const nn::TrainingContext context{setting_.seed, static_cast<uint64_t>(number)};
    at::Tensor loss;
    {
      const auto span = trace_.Span("forward");
      const nn::ModelOutput output = model_.network.Forward(example.inputs, &context);
      loss = SummedLoss(output, example);
      statistics_.Add(output);
    }
    {
      const auto span = trace_.Span("backward");
      loss.backward();
    }
    sums[0] += loss.item().toDouble();
    sums[1] += static_cast<double>(example.predictions);
    sums[2] += static_cast<double>(example.tokens);
  }

  void Log(const StepNumbers& n, double tokens_per_second) {
    const int64_t every = options_.run.eval_every;
    const bool last = step_ == schedule_.steps();
    std::vector<run::Metric> metrics;
    if (step_ % options_.run.log_every == 0 || last) {
      metrics = {{"loss", n.loss},
                 {"lr", n.learning_rate},
                 {"grad_norm", n.gradient_norm},
                 {"tokens_per_second", tokens_per_second},
                 {"peak_memory_bytes", PeakMemoryBytes()}};
    }
    if (last || (every > 0 && step_ % every == 0)) {
      const Evaluation validation = Validate();
      if (validation.predictions > 0) {
        result_.valid_loss = validation.loss();
        result_.accuracy = validation.accuracy();
        for (run::Metric& m : ValidationMetrics(validation)) metrics.push_back(m);
      }
    }
    if (run_ != nullptr && !metrics.empty()) run_->metrics().Write(step_, metrics);
  }

  static std::vector<run::Metric> ValidationMetrics(const Evaluation& validation) {
    std::vector<run::Metric> metrics = {{"valid_loss", validation.loss()}};
    if (const auto accuracy = validation.accuracy()) metrics.emplace_back("valid_top1", *accuracy);
    return metrics;
  }

  // Of the moving average where there is one.
  Evaluation Validate() {
    const auto span = trace_.Span("validation");
    std::optional<nn::AveragedWeights> averaged;
    if (options_.opt.ema > 0) averaged.emplace(optimizer_);
    return EvaluateBatches(model_.network, *batches_, options_.run.batch, options_.run.eval_batches,
                           ranks_, device_);
  }

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
    SaveTrainModel(model_, options_.model.path, directory);
    io::SaveTensors(directory / "optimizer.safetensors", optimizer_.ExportState());
    nlohmann::json state = {
        {"cursor", Cursor()},
        {"random", {{"seed", setting_.seed}, {"pass", step_ * options_.run.accum * ranks_.size()}}},
        {"tokens", result_.tokens},
        {"loss", result_.loss}};
    if (result_.first_valid_loss) state["first_valid_loss"] = *result_.first_valid_loss;
    return state;
  }

  // Rank 0 knows the checkpoint; the others read it from the same file system.
  void Resume() {
    std::string path;
    if (run_ != nullptr && run_->resumed_from()) path = run_->resumed_from()->directory.string();
    std::vector<double> header = {
        static_cast<double>(path.size()),
        path.empty() ? 0.0 : static_cast<double>(run_->resumed_from()->step)};
    ranks_.Broadcast(std::span<double>(header));
    path.resize(static_cast<size_t>(header[0]));
    if (path.empty()) return;
    ranks_.Broadcast(std::as_writable_bytes(std::span<char>(path)));
    step_ = static_cast<int64_t>(header[1]);
    LoadWeights(model_, path);
    optimizer_.ImportState(
        io::ReadTensors(io::Checkpoint::Open(fs::path(path) / "optimizer.safetensors")));
    const nlohmann::json state = run::CheckpointStore::ReadState({step_, path});
    if (state.at("cursor").get<int64_t>() != Cursor()) {
      throw UsageError(
          "the run to resume had another number of ranks or samples per step", path,
          fmt::format("its data cursor is {}, not {}", state.at("cursor").dump(), Cursor()));
    }
    result_.tokens = state.at("tokens").get<int64_t>();
    result_.loss = state.at("loss").get<double>();
    if (state.contains("first_valid_loss")) {
      result_.first_valid_loss = state.at("first_valid_loss").get<double>();
    }
  }

  void Finish() {
    result_.steps = step_;
    result_.parameters = model_.network.parameters().elements();
    for (const nn::OptimizedTensor& t : optimizer_.tensors()) {
      result_.trained_parameters += t.value.numel();
    }
    if (run_ != nullptr) {
      result_.final = run_->path() / "final";
      SaveTrainModel(model_, options_.model.path, result_.final);
      if (options_.opt.ema > 0) {
        const nn::AveragedWeights averaged(optimizer_);
        SaveTrainModel(model_, options_.model.path, run_->path() / "final-ema");
      }
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
  TrainModel model_;
  data::Sampler sampler_;
  int64_t global_batch_;
  nn::Schedule schedule_;
  nn::Optimizer optimizer_;
  GradientSum gradients_;
  RunningStatistics statistics_;
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

nlohmann::json ToJson(const TrainResult& r) {
  nlohmann::json json = {{"steps", r.steps},
                         {"parameters", r.parameters},
                         {"trained_parameters", r.trained_parameters},
                         {"tokens", r.tokens},
                         {"loss", r.loss},
                         {"seconds", r.seconds},
                         {"final", r.final.string()}};
  if (r.first_valid_loss) json["first_valid_loss"] = *r.first_valid_loss;
  if (r.valid_loss) json["valid_loss"] = *r.valid_loss;
  if (r.accuracy) json["valid_top1"] = *r.accuracy;
  return json;
}

}  // namespace orchard::expand
