// What `cser-train train` and `cser-train simulate` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "sync/algorithm_options.h"
#include "sync/learning_rate.h"

namespace orchard::sync {

enum class DataKind { kFashionMnist, kImages, kCifar10, kCifar100, kImageNet, kText, kSynthetic };
inline constexpr cli::EnumName<DataKind> kDataKindNames[] = {
    {"fashion-mnist", DataKind::kFashionMnist},
    {"images", DataKind::kImages},
    {"cifar10", DataKind::kCifar10},
    {"cifar100", DataKind::kCifar100},
    {"imagenet", DataKind::kImageNet},
    {"text", DataKind::kText},
    {"synthetic", DataKind::kSynthetic}};
constexpr auto EnumNames(DataKind) { return std::span(kDataKindNames); }

// How the training data is divided among ranks; the names of data::ShardKind.
enum class Shard { kShuffled, kContiguous, kStrided, kByLabel, kDirichlet };
inline constexpr cli::EnumName<Shard> kShardNames[] = {{"shuffled", Shard::kShuffled},
                                                       {"contiguous", Shard::kContiguous},
                                                       {"strided", Shard::kStrided},
                                                       {"by-label", Shard::kByLabel},
                                                       {"dirichlet", Shard::kDirichlet}};
constexpr auto EnumNames(Shard) { return std::span(kShardNames); }

struct SyncDataOptions {
  DataKind kind = DataKind::kFashionMnist;
  std::optional<std::filesystem::path> path;  // unset: where Debian's package puts Fashion-MNIST
  std::optional<std::filesystem::path> test;  // kImages, kImageNet, kText
  int64_t train_limit = 0;                    // samples, 0: all
  int64_t test_limit = 0;
  int64_t synthetic = 10000;  // images
  int64_t context = 128;      // kText: bytes of a window
  double held_out = 0.1;      // kText: last part of the text, for testing
  int64_t batch = 16;         // of one rank
  Shard shard = Shard::kShuffled;
  double alpha = 0.5;                   // dirichlet
  bool augment = false;                 // random crop and flip
  int64_t crop_padding = 4;             // pixels
  int64_t crop_size = 224;              // kImageNet: pixels
  double color_jitter = 0;              // kImageNet
  double lighting = 0;                  // kImageNet
  std::vector<double> mean, deviation;  // per channel, of pixels in [0, 1]; empty: measured

  void Fields(cli::FieldVisitor& f) {
    f("kind", kind, "where samples come from");
    f("path", path,
      "fashion-mnist: folder of the IDX files; cifar: folder of the .bin files; images: HDF5, IDX "
      "or a folder of classes; imagenet: folder of classes, or one with train/ and val/; text: a "
      "file, or a folder of files");
    f("test", test, "images, imagenet, text: the same for testing");
    f("train_limit", train_limit, "first training samples that are used (0: all)", cli::Count(0));
    f("test_limit", test_limit, "first test samples that are used (0: all)", cli::Count(0));
    f("synthetic", synthetic, "synthetic: training images; a fifth as many for testing",
      cli::Count(10));
    f("context", context, "text: bytes of a window, each predicted from those before it",
      cli::Between(1, 1 << 20));
    f("held_out", held_out, "text without data.test: the last part of it that is tested on",
      cli::Between(0.001, 0.9));
    f("batch", batch, "images, or windows of a text, of one rank and step", cli::AtLeast(1));
    f("shard", shard, "division of the training data among ranks");
    f("alpha", alpha, "dirichlet: the smaller, the more unlike are ranks", cli::Positive());
    f("augment", augment,
      "random flip, and random crop: after zero padding, or (imagenet) of random size and shape");
    f("crop_padding", crop_padding, "pixels of the padding", cli::AtLeast(0));
    f("crop_size", crop_size,
      "imagenet: side of the crops; for testing the middle of a picture whose shorter side is 8/7 "
      "of it",
      cli::Between(8, 4096));
    f("color_jitter", color_jitter,
      "imagenet with augment: brightness, contrast and saturation vary by this part (0.4 usual)",
      cli::Between(0, 1));
    f("lighting", lighting,
      "imagenet with augment: deviation of the noise along the colours' main axes (0.1 usual)",
      cli::AtLeast(0));
    f("mean", mean, "of each channel, of pixels in [0, 1] (default: measured; imagenet: its own)");
    f("deviation", deviation, "standard deviation of each channel");
  }
};

struct SyncModelOptions {
  std::string arch = "mlp:784-512-256-10";
  bool stem_norms = true;
  bool torch_init = false;

  void Fields(cli::FieldVisitor& f) {
    f("arch", arch,
      "network: mlp:A-B-..-C, logreg, lenet, wrn-D-K, resnet50-v2, or a TorchScript module of "
      "your own, MODEL.pt; gpt2:LAYERS-WIDTH-HEADS for texts");
    f("stem_norms", stem_norms, "wrn: the two norms of the stem that CSER's released model has");
    f("torch_init", torch_init, "weights as PyTorch draws them by default, in place of Xavier's");
  }
};

enum class NormEvaluation { kAverage, kRecalibrate, kRankMean };
inline constexpr cli::EnumName<NormEvaluation> kNormEvaluationNames[] = {
    {"average", NormEvaluation::kAverage},
    {"recalibrate", NormEvaluation::kRecalibrate},
    {"rank-mean", NormEvaluation::kRankMean}};
constexpr auto EnumNames(NormEvaluation) { return std::span(kNormEvaluationNames); }

struct SyncEvaluationOptions {
  NormEvaluation bn = NormEvaluation::kAverage;
  int64_t recalibrate_batches = 20;
  int64_t batch = 500;
  double eval_epochs = 1;                                 // between evaluations; 0: only the last
  std::vector<double> targets = {0.8, 0.85, 0.87, 0.89};  // of accuracy

  void Fields(cli::FieldVisitor& f) {
    f("bn", bn,
      "running statistics of batch norms in the averaged model: averaged; measured anew on "
      "training "
      "batches; or each rank's own, and the mean of their accuracies");
    f("recalibrate_batches", recalibrate_batches, "batches that measure them", cli::AtLeast(1));
    f("test_batch", batch, "images of an evaluation batch", cli::AtLeast(1));
    f("eval_epochs", eval_epochs, "epochs between evaluations (0: only the last)",
      cli::Between(0, 1e6));
    f("targets", targets, "accuracies for which steps, bytes and seconds are reported",
      cli::Between(0, 1));
  }
};

struct SyncRunOptions {
  double epochs = 15;
  int64_t max_steps = 0;  // 0: no limit
  int64_t log_every = 20;
  int64_t save_every = 0;
  int64_t ranks = 0;
  int64_t ranks_per_node = 0;
  int64_t drift_fix = 0;
  double grad_clip = 0;
  double drift_warning = 0.3;
  bool auto_tune = false;
  int64_t auto_tune_steps = 20;
  bool trace = false;

  void Fields(cli::FieldVisitor& f) {
    f("epochs", epochs, "passes over the training data",
      cli::Constraint{.lower = 0, .upper = 1e6, .lower_open = true});
    f("max_steps", max_steps, "steps, at most (0: as many as the epochs have)", cli::AtLeast(0));
    f("log_every", log_every,
      "steps between lines of metrics, where ranks also agree on whether to stop", cli::AtLeast(1));
    f("save_every", save_every, "steps between checkpoints (0: on a stop)", cli::AtLeast(0));
    f("ranks", ranks, "ranks to simulate in this process (0: what mpirun or srun started, or one)",
      cli::AtLeast(0));
    f("ranks_per_node", ranks_per_node,
      "hierarchical: so many ranks in a row average gradients among them and train as one (0: off)",
      cli::AtLeast(0));
    f("drift_fix", drift_fix,
      "error resets after which the common part of all models is made rank 0's again, against "
      "rounding (0: never)",
      cli::AtLeast(0));
    f("grad_clip", grad_clip, "largest norm of a rank's own gradient (0: off)", cli::AtLeast(0));
    f("drift_warning", drift_warning,
      "warn when models are further from their mean than this part of its norm", cli::Positive());
    f("auto_tune", auto_tune,
      "before training, time the link and steps as `tune` does and take what follows: dense sgd "
      "where compression does not pay, else the ratio, bucket_mb and delay; H follows from the "
      "ratio");
    f("auto_tune_steps", auto_tune_steps,
      "with auto_tune: steps that each way of training is timed for", cli::AtLeast(1));
    f("trace", trace, "write trace.json");
  }
};

struct SyncTrainOptions {
  SyncRunOptions run;
  SyncDataOptions data;
  SyncModelOptions model;
  AlgorithmOptions optim;
  RateOptions schedule;
  CompressOptions compress;
  SyncEvaluationOptions eval;

  void Fields(cli::FieldVisitor& f) {
    f.Section("run", run);
    f.Section("data", data);
    f.Section("model", model);
    f.Section("optim", optim);
    f.Section("schedule", schedule);
    f.Section("compress", compress);
    f.Section("eval", eval);
  }
};

// How the ratio of a run changes. PowerSGD counts its dense steps itself.
RatioStages StagesOf(const SyncTrainOptions& options, const LearningRate& rate, int64_t steps);

}  // namespace orchard::sync
