#include "segment/train.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/logging.h"
#include "base/peak_memory.h"
#include "base/signals.h"
#include "comm/launch.h"
#include "io/torch/tensors.h"
#include "nn/device.h"
#include "run/progress.h"
#include "run/trace.h"
#include "segment/batch_loader.h"
#include "segment/gradient_sum.h"
#include "segment/mixed_precision.h"
#include "segment/model_directory.h"
#include "segment/predictor.h"
#include "segment/segmentation_loss.h"
#include "segment/template_network.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;

constexpr double kBestDecay = 0.9;  // of the moving mean that chooses `best`
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::vector<nn::OptimizedTensor> Trained(const nn::Parameters& parameters,
                                         const nn::OptimizerOptions& options) {
  std::vector<nn::OptimizedTensor> tensors;
  for (const nn::Parameter& p : parameters.all()) {
    if (p.measured) continue;
    tensors.push_back({p.name, p.value, nn::DecaysWeight(p.name, options.no_decay)});
  }
  return tensors;
}

std::vector<at::Tensor> Values(const nn::Optimizer& optimizer) {
  std::vector<at::Tensor> values;
  for (const nn::OptimizedTensor& t : optimizer.tensors()) values.push_back(t.value);
  return values;
}

TemplateNetwork MakeNetwork(const Plan& plan, const NetworkOptions& options,
                            const TrainSetting& setting, at::ScalarType compute) {
  TemplateNetwork network(plan, options, setting.seed);
  network.MoveTo(setting.device);
  network.SetComputeType(compute);
  network.parameters().RequireGrad(true);
  return network;
}

// The labels of a coarser decoder stage: those in the middle of its cells.
at::Tensor Thin(const at::Tensor& labels, at::IntArrayRef cells) {
  at::Tensor thin = labels;
  for (size_t a = 0; a < 3; ++a) {
    const auto axis = static_cast<int64_t>(a) + 1;
    const int64_t step = labels.size(axis) / cells[a];
    if (step == 1) continue;
    const at::Tensor middles = at::arange(cells[a], labels.options().dtype(at::kLong));
    thin = thin.index_select(axis, middles * step + step / 2);
  }
  return thin.contiguous();
}

std::vector<CaseFiles> Pick(const Dataset& dataset, const std::vector<size_t>& indices) {
  std::vector<CaseFiles> files;
  for (const size_t n : indices) files.push_back(dataset.cases[n]);
  return files;
}

// Sums since the last line of metrics.
struct Tally {
  double loss = 0, ce = 0, dice = 0, sim = 0, norm = 0;
  std::vector<double> entropy;  // of w, of each fused level, nat
  int64_t steps = 0;
};

class Trainer {
 public:
  Trainer(const SegmentTrainOptions& options, const TrainSetting& setting,
          std::vector<PreparedCase> training, std::vector<PreparedCase> validation,
          const Plan& plan, comm::Communicator& ranks, run::RunDir* run)
      : options_(options),
        setting_(setting),
        plan_(plan),
        ranks_(ranks),
        run_(run),
        trace_(run != nullptr ? run->trace() : no_trace_),
        pool_(setting.threads),
        training_(std::move(training)),
        validation_(std::move(validation)),
        compute_(ComputeType(options.run.amp, setting.device)),
        network_(MakeNetwork(plan, options.model, setting, compute_)),
        optimizer_(Trained(network_.parameters(), options.optim), options.optim),
        gradients_(ranks, Values(optimizer_), setting.device),
        scale_(compute_),
        steps_(options.run.epochs * options.run.iterations) {
    if (scale_.active() && options.optim.clip == 0) {
      throw UsageError("fp16 needs the norm of the gradient", "optim.clip", "set it above 0");
    }
    network_.SetTraining(true);
    CheckSubjects();
    if (ranks.rank() == 0) {
      bank_ = MakeBank(training_, plan.labels, options.run.bank);
      if (options.sampling.blank) {
        for (PreparedCase& c : bank_.cases) std::fill(c.labels.begin(), c.labels.end(), 0);
      }
    }
    result_.parameters = network_.parameters().elements();
    result_.ranks = ranks.size();
    result_.training_cases = std::ssize(training_);
  }

  SegmentTrainResult Run() {
    Resume();
    const Sampler sampler(training_, plan_, options_.sampling, options_.augment, setting_.seed,
                          network_.uses_template());
    if (options_.model.mode == TemplateMode::kInContext && network_.uses_template()) {
      episodes_ = std::make_unique<EpisodeSampler>(sampler, training_, plan_, options_.episodes,
                                                   options_.augment, setting_.seed);
    }
    BatchLoader batches(sampler, plan_,
                        {.rank = ranks_.rank(),
                         .ranks = ranks_.size(),
                         .first = step_,
                         .last = options_.run.minutes > 0 ? kNever : steps_,
                         .threads = setting_.threads,
                         .with_templates = network_.uses_template(),
                         .episodes = episodes_.get(),
                         .device = setting_.device});
    // Nobody knows how many steps a time holds.
    run::Progress progress("train", options_.run.minutes == 0 ? steps_ : 0, "steps",
                           {.enabled = setting_.progress && run_ != nullptr, .start = step_});
    while (part_ < 1) {
      Step(batches);
      ++step_;
      UpdatePart();
      StepDone(progress);
      progress.Advance();
    }
    progress.Finish();
    Finish();
    return result_;
  }

  const TemplateNetwork& network() const { return network_; }
  const TemplateBank& bank() const { return bank_; }

 private:
  void CheckSubjects() const {
    for (const PreparedCase& v : validation_) {
      for (const PreparedCase& t : training_) {
        if (v.subject == t.subject)
          throw Error(ExitCode::kInternal, "a subject is in both training and validation",
                      v.subject);
      }
    }
  }

  // How much of the training is done: of its steps, or of its processor time, where rank 0's counts
  // for all.
  void UpdatePart() {
    if (options_.run.minutes == 0) {
      part_ = static_cast<double>(step_) / static_cast<double>(steps_);
      return;
    }
    std::array<double, 1> part = {result_.cpu_seconds / (60 * options_.run.minutes)};
    if (ranks_.size() > 1) ranks_.Broadcast(std::span<double>(part));
    part_ = std::min(1.0, part[0]);
  }

  // ---- one step

  double Rate() const {
    double rate = options_.run.rate == RateShape::kPoly ? std::pow(1 - part_, 0.9)
                                                        : 0.5 * (1 + std::cos(M_PI * part_));
    if (step_ < options_.run.warmup) {
      rate *= static_cast<double>(step_ + 1) / static_cast<double>(options_.run.warmup);
    }
    return options_.optim.lr * rate;
  }

  // The loss of all decoder stages, halved from each to the next, the coarsest left out.
  at::Tensor DeepLoss(const Decoded& decoded, const at::Tensor& labels) {
    const LossWeights weights{options_.loss.ce, options_.loss.dice, plan_.dims == 2};
    const size_t used = std::max<size_t>(1, decoded.logits.size() - 1);
    double total_weight = 0;
    for (size_t s = 0; s < used; ++s) total_weight += std::ldexp(1.0, -static_cast<int>(s));
    at::Tensor loss;
    for (size_t s = 0; s < used; ++s) {
      const double weight = std::ldexp(1.0, -static_cast<int>(s)) / total_weight;
      const at::Tensor& logits = decoded.logits[s];
      const LossParts parts =
          SegmentationLoss(logits, Thin(labels, logits.sizes().slice(2)), weights);
      loss = loss.defined() ? loss + weight * parts.total : weight * parts.total;
      tally_.ce += weight * parts.ce;
      tally_.dice += weight * parts.dice;
    }
    return loss;
  }

  // Cross-entropy of the similarities against the areas of classes in each cell, mean over levels.
  at::Tensor SimilarityLoss(const Decoded& decoded, const at::Tensor& labels) {
    at::Tensor sum;
    const std::vector<int64_t>& levels = network_.levels();
    for (size_t at = 0; at < decoded.similarity_logits.size(); ++at) {
      const volume::Size3 cells = plan_.StageSize(static_cast<size_t>(levels[at]));
      const at::Tensor areas =
          ClassAreas(labels, decoded.similarity_logits[at].size(2), {cells[2], cells[1], cells[0]})
              .transpose(1, 2);
      const at::Tensor loss =
          -(areas * at::log_softmax(decoded.similarity_logits[at], -1)).sum(-1).mean();
      sum = sum.defined() ? sum + loss : loss;
    }
    return sum / static_cast<double>(decoded.similarity_logits.size());
  }

  void Step(BatchLoader& batches) {
    const auto span = trace_.Span("step");
    const double begin = SecondsNow(), cpu = CpuSeconds();
    SampleBatch batch;
    {
      const auto wait = trace_.Span("samples");
      batch = batches.Next();
    }
    result_.data_seconds += SecondsNow() - begin;
    optimizer_.ClearGradients();
    const std::vector<at::Tensor> features = network_.EncodeImage(batch.image);
    std::vector<TemplateTokens> tokens;
    if (network_.uses_template()) {
      tokens = network_.EncodeTemplate(batch.template_image, batch.template_labels, batch.classes);
    }
    const Decoded decoded = network_.Decode(features, tokens, true);
    at::Tensor loss = DeepLoss(decoded, batch.labels);
    if (options_.loss.sim > 0 && !decoded.similarity_logits.empty()) {
      const at::Tensor sim = SimilarityLoss(decoded, batch.labels);
      tally_.sim += sim.item<double>();
      loss = loss + options_.loss.sim * sim;
    }
    const double value = loss.item<double>();
    if (!std::isfinite(value)) {
      throw DivergedError(std::isnan(value) ? "the loss is nan" : "the loss is infinite",
                          fmt::format("step {}", step_ + 1), "lower optim.lr, or warm up");
    }
    (scale_.active() ? loss * scale_.factor() : loss).backward();
    gradients_.Run();
    const auto norm = Update();
    tally_.loss += value;
    tally_.norm += norm.value_or(0);
    tally_.entropy.resize(decoded.weight.size());
    for (size_t at = 0; at < decoded.weight.size(); ++at) {
      const at::Tensor& w = decoded.weight[at];
      tally_.entropy[at] -= (w * w.clamp_min(1e-12).log()).sum(-1).mean().item<double>();
    }
    ++tally_.steps;
    result_.train_seconds += SecondsNow() - begin;
    result_.cpu_seconds += CpuSeconds() - cpu;
  }

  // The norm of the gradient. With fp16 a step whose gradients are not finite is left out, and the
  // next one's loss is scaled less.
  std::optional<double> Update() {
    try {
      const auto norm = optimizer_.Step(Rate(), 1 / (ranks_.size() * scale_.factor()));
      scale_.Succeeded();
      return norm;
    } catch (const DivergedError&) {
      if (!scale_.Shrink()) throw;
      return std::nullopt;
    }
  }

  // ---- after a step

  bool EpochEnds() const { return step_ % options_.run.iterations == 0; }
  int64_t Epoch() const { return step_ / options_.run.iterations; }

  void StepDone(run::Progress& progress) {
    std::vector<run::Metric> metrics;
    std::vector<std::string> names;  // outlive the metrics' views
    names.reserve(plan_.labels.size() + network_.levels().size() + 1);
    const bool last = part_ >= 1;
    const int64_t every = options_.run.validate_every;
    const bool validate = !last && every > 0 && EpochEnds() && Epoch() % every == 0;
    const bool save = options_.run.save_every > 0 && EpochEnds() &&
                      Epoch() % options_.run.save_every == 0 && !last;
    const bool log = last || validate || save || step_ % options_.run.log_every == 0;
    if (log) Log(metrics, names, progress);
    if (validate && run_ != nullptr) Validate(metrics, names);
    if (run_ != nullptr && !metrics.empty()) run_->metrics().Write(step_, metrics);
    std::array<double, 1> stop = {StopRequested() ? 1.0 : 0.0};
    if (ranks_.size() > 1) ranks_.AllReduce(std::span<double>(stop));
    if (last || (stop[0] == 0 && !save)) return;
    if (run_ != nullptr) {
      run_->SaveCheckpoint(step_, [&](const fs::path& directory) { return SaveState(directory); });
    }
    if (stop[0] == 0) return;
    if (ranks_.size() > 1) ranks_.Barrier();
    throw InterruptedError(fmt::format("stopped on request after step {}", step_),
                           run_ != nullptr ? run_->path().string() : "");
  }

  void Log(std::vector<run::Metric>& metrics, std::vector<std::string>& names,
           run::Progress& progress) {
    const auto n = static_cast<double>(std::max<int64_t>(1, tally_.steps));
    result_.loss = tally_.loss / n;
    metrics = {{"epoch", Epoch()},
               {"lr", Rate()},
               {"loss", tally_.loss / n},
               {"ce", tally_.ce / n},
               {"dice_loss", tally_.dice / n},
               {"grad_norm", tally_.norm / n},
               {"train_s", result_.train_seconds},
               {"cpu_s", result_.cpu_seconds},
               {"data_wait_s", result_.data_seconds},
               {"peak_memory_bytes", PeakMemoryBytes()}};
    if (const auto bytes = nn::PeakAllocatedBytes(setting_.device)) {
      metrics.emplace_back("device_peak_memory_bytes", *bytes);
    }
    if (scale_.active()) metrics.emplace_back("loss_scale", scale_.factor());
    if (!tally_.entropy.empty()) metrics.emplace_back("sim", tally_.sim / n);
    for (size_t at = 0; at < tally_.entropy.size(); ++at) {
      names.push_back(fmt::format("entropy_{}", network_.levels()[at]));
      metrics.emplace_back(names.back(), tally_.entropy[at] / n);
    }
    progress.Note(fmt::format("loss {:.4f}", result_.loss));
    tally_ = Tally{};
  }

  std::vector<ValidatedCase> Predict(size_t count) {
    network_.SetTraining(false);
    Predictor predictor(network_, bank_, options_.infer, setting_.seed, pool_);
    std::vector<ValidatedCase> cases;
    for (size_t n = 0; n < std::min(count, validation_.size()); ++n) {
      const PreparedCase& c = validation_[n];
      // At the plan's spacing: on the image's own grid where nothing was resampled.
      PreparedImage image = c.image;
      image.frame.whole = image.size;
      image.frame.crop = {{0, 0, 0}, image.size};
      image.frame.spacing = plan_.spacing;
      const SegmentedImage s = predictor.Segment(image, c.subject);
      cases.push_back(
          {c.id, DiceScores(s.labels, c.labels, plan_.classes()), s.templates, s.seconds});
    }
    network_.SetTraining(true);
    return cases;
  }

  void Validate(std::vector<run::Metric>& metrics, std::vector<std::string>& names) {
    if (validation_.empty()) return;
    const auto span = trace_.Span("validation");
    SegmentTrainResult part;
    part.cases = Predict(static_cast<size_t>(options_.run.validation_cases));
    const std::vector<double> dice = part.ClassDice(plan_.classes());
    for (size_t c = 0; c < dice.size(); ++c) {
      names.push_back(fmt::format("val_dice_{}", c + 1));
      metrics.emplace_back(names.back(), dice[c]);
    }
    const double mean = part.MeanDice(plan_.classes());
    moving_ = moving_ < 0 ? mean : kBestDecay * moving_ + (1 - kBestDecay) * mean;
    metrics.emplace_back("val_dice", mean);
    metrics.emplace_back("val_dice_moving", moving_);
    if (!(moving_ > result_.best)) return;
    result_.best = moving_;
    WriteModel("best");
  }

  void WriteModel(const char* name) {
    const c10::NoGradGuard no_gradient;
    WriteModelDirectory(run_->path() / name, network_, bank_);
  }

  // ---- checkpoints

  nlohmann::json SaveState(const fs::path& directory) {
    network_.Save(directory / "model.safetensors");
    io::SaveTensors(directory / "optimizer.safetensors", optimizer_.ExportState());
    return {{"ranks", ranks_.size()},
            {"moving", moving_},
            {"loss_scale", {scale_.factor(), scale_.good_steps()}},
            {"best", result_.best},
            {"loss", result_.loss},
            {"train_seconds", result_.train_seconds},
            {"cpu_seconds", result_.cpu_seconds},
            {"data_seconds", result_.data_seconds},
            {"tally",
             {{"loss", tally_.loss},
              {"ce", tally_.ce},
              {"dice", tally_.dice},
              {"sim", tally_.sim},
              {"norm", tally_.norm},
              {"entropy", tally_.entropy},
              {"steps", tally_.steps}}}};
  }

  // Rank 0's text, on every rank.
  std::string BroadcastText(std::string text) {
    if (ranks_.size() == 1) return text;
    std::array<double, 1> size = {static_cast<double>(text.size())};
    ranks_.Broadcast(std::span<double>(size));
    text.resize(static_cast<size_t>(size[0]));
    if (!text.empty()) ranks_.Broadcast(std::as_writable_bytes(std::span<char>(text)));
    return text;
  }

  void Resume() {
    std::string path;
    if (run_ != nullptr && run_->resumed_from()) path = run_->resumed_from()->directory.string();
    path = BroadcastText(std::move(path));
    if (path.empty()) return;
    std::array<double, 1> step = {run_ != nullptr ? static_cast<double>(run_->resumed_from()->step)
                                                  : 0.0};
    if (ranks_.size() > 1) ranks_.Broadcast(std::span<double>(step));
    step_ = static_cast<int64_t>(step[0]);
    const nlohmann::json state = run::CheckpointStore::ReadState({step_, path});
    if (state.at("ranks").get<int>() != ranks_.size()) {
      throw UsageError(fmt::format("the checkpoint is of {} ranks", state.at("ranks").get<int>()),
                       "run.ranks", "continue with as many");
    }
    network_.Load(fs::path(path) / "model.safetensors");
    optimizer_.ImportState(
        io::ReadTensors(io::Checkpoint::Open(fs::path(path) / "optimizer.safetensors")));
    moving_ = state.at("moving");
    if (state.contains("loss_scale")) {
      scale_.Restore(state.at("loss_scale").at(0), state.at("loss_scale").at(1));
    }
    result_.best = state.at("best");
    result_.loss = state.at("loss");
    result_.train_seconds = state.at("train_seconds");
    result_.cpu_seconds = state.at("cpu_seconds");
    result_.data_seconds = state.at("data_seconds");
    const auto& t = state.at("tally");
    tally_ = {.loss = t.at("loss").get<double>(),
              .ce = t.at("ce").get<double>(),
              .dice = t.at("dice").get<double>(),
              .sim = t.at("sim").get<double>(),
              .norm = t.at("norm").get<double>(),
              .entropy = t.at("entropy").get<std::vector<double>>(),
              .steps = t.at("steps").get<int64_t>()};
    UpdatePart();
  }

  void Finish() {
    result_.steps = step_;
    result_.epochs = Epoch();
    network_.SetTraining(false);
    if (run_ == nullptr) return;
    result_.final = run_->path() / "final";
    WriteModel("final");
    result_.cases = Predict(validation_.size());
  }

  const SegmentTrainOptions& options_;
  const TrainSetting& setting_;
  const Plan& plan_;
  comm::Communicator& ranks_;
  run::RunDir* run_;
  run::Trace no_trace_;
  run::Trace& trace_;
  ThreadPool pool_;
  std::vector<PreparedCase> training_, validation_;
  TemplateBank bank_;                         // of rank 0
  std::unique_ptr<EpisodeSampler> episodes_;  // in context
  at::ScalarType compute_;
  TemplateNetwork network_;
  nn::Optimizer optimizer_;
  GradientSum gradients_;
  LossScale scale_;
  int64_t steps_, step_ = 0;
  double part_ = 0;  // of the training that is done
  double moving_ = -1;
  Tally tally_;
  SegmentTrainResult result_;
};

}  // namespace

Split ChooseSplit(const SegmentTrainOptions& options, const Dataset& dataset, uint64_t seed) {
  const TrainDataOptions& data = options.data;
  const Split split = data.split ? ReadSplit(*data.split, dataset.cases, data.cases)
                                 : SplitFold(dataset.cases, data.fold, data.cases, seed);
  if (options.model.attention == AttentionKind::kOff || options.sampling.p_self >= 1) return split;
  std::set<std::string> all, training;
  for (const CaseFiles& c : dataset.cases) all.insert(c.subject);
  for (const size_t n : split.training) training.insert(dataset.cases[n].subject);
  if (training.size() > 1) return split;
  const std::string where = data.split       ? data.split->string()
                            : data.fold >= 0 ? fmt::format("fold {}", data.fold)
                                             : "";
  throw ImpossibleError(
      fmt::format("1 of {} subject{} is left for training, and templates are of another one",
                  all.size(), all.size() == 1 ? "" : "s"),
      where,
      all.size() > 1 ? "use --fold -1, more subjects or sampling.p_self = 1"
                     : "use more subjects or sampling.p_self = 1");
}

SegmentTrainResult TrainSegmentation(const SegmentTrainOptions& options,
                                     const TrainSetting& setting, const Dataset& dataset,
                                     const Split& split, const Plan& plan,
                                     comm::Communicator& ranks, run::RunDir* run) {
  at::set_num_threads(setting.threads);
  std::vector<PreparedCase> training =
      LoadCases(Pick(dataset, split.training), plan, setting.threads);
  std::vector<PreparedCase> validation;
  if (run != nullptr)
    validation = LoadCases(Pick(dataset, split.validation), plan, setting.threads);
  Trainer trainer(options, setting, std::move(training), std::move(validation), plan, ranks, run);
  return trainer.Run();
}

SegmentTrainResult TrainOnCases(
    const SegmentTrainOptions& options, const TrainSetting& setting,
    std::vector<PreparedCase> training, const Plan& plan,
    const std::function<void(const TemplateNetwork&, const TemplateBank&)>& use) {
  at::set_num_threads(setting.threads);
  SegmentTrainResult result;
  comm::RunRanks({1}, [&](comm::Communicator& alone) {
    Trainer trainer(options, setting, std::move(training), {}, plan, alone, nullptr);
    result = trainer.Run();
    use(trainer.network(), trainer.bank());
  });
  return result;
}

}  // namespace orchard::segment
