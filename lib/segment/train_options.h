// What `siamese-seg train` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "cli/fields.h"
#include "nn/optimizer.h"
#include "segment/amp.h"
#include "segment/augment.h"
#include "segment/episodes.h"
#include "segment/network_options.h"
#include "segment/predict_options.h"
#include "segment/sampler.h"

namespace orchard::segment {

enum class RateShape { kPoly, kCosine };
inline constexpr cli::EnumName<RateShape> kRateShapeNames[] = {{"poly", RateShape::kPoly},
                                                               {"cosine", RateShape::kCosine}};
constexpr auto EnumNames(RateShape) { return std::span(kRateShapeNames); }

struct TrainDataOptions {
  std::filesystem::path path;
  std::optional<std::filesystem::path> plan, split;
  int64_t fold = 0;
  int64_t cases = 0;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("path", path, "folder of a data set (nnU-Net, Medical Decathlon, images/labels)");
    f("plan", plan, "plan file (default: PATH/plan.json, or one is made)");
    f("split", split,
      "JSON file of ids in place of a fold: {\"train\": [...], \"validation\": [...]}");
    f("fold", fold, "validate on this fifth of the subjects (-1: train on all)",
      cli::Between(-1, 4));
    f("cases", cases, "training cases, at most (0: all)", cli::AtLeast(0));
  }
};

struct TrainLossOptions {
  double ce = 1, dice = 1, sim = 0.1;

  void Fields(cli::FieldVisitor& f) {
    f("ce", ce, "weight of the cross-entropy", cli::AtLeast(0));
    f("dice", dice, "weight of the soft Dice", cli::AtLeast(0));
    f("sim", sim, "weight of the cross-entropy of the similarities at fused stages",
      cli::AtLeast(0));
  }
};

struct TrainRunOptions {
  int64_t epochs = 1000, iterations = 250;
  double minutes = 0;
  RateShape rate = RateShape::kPoly;
  int64_t warmup = 0;
  int64_t validate_every = 1, validation_cases = 8;
  int64_t save_every = 50;
  int64_t bank = 64;
  int64_t log_every = 10;
  int64_t ranks = 0;
  Amp amp = Amp::kAuto;
  int64_t memory = 0;
  bool trace = false;

  void Fields(cli::FieldVisitor& f) {
    f("epochs", epochs, "epochs", cli::AtLeast(1));
    f("iterations", iterations, "training steps of an epoch", cli::AtLeast(1));
    f("minutes", minutes,
      "train this many minutes of processor time, all threads together, in place of `epochs` (0: "
      "by epochs); the rate follows the time",
      cli::AtLeast(0));
    f("rate", rate, "learning rate over the steps: poly (1 - t/T)^0.9, or half a cosine");
    f("warmup", warmup, "steps of linear warm-up", cli::AtLeast(0));
    f("validate_every", validate_every, "epochs between validations (0: only at the end)",
      cli::AtLeast(0));
    f("validation_cases", validation_cases, "cases of a validation before the end",
      cli::AtLeast(1));
    f("save_every", save_every, "epochs between checkpoints (0: on a stop)", cli::AtLeast(0));
    f("bank", bank, "templates kept with the model, the best medoids (0: all training cases)",
      cli::AtLeast(0));
    f("log_every", log_every, "steps between lines of metrics", cli::AtLeast(1));
    f("ranks", ranks, "ranks to simulate in this process (0: what mpirun or srun started, or one)",
      cli::AtLeast(0));
    f("amp", amp, kAmpHelp);
    f("memory", memory,
      "bytes that a training step may take; a plan that needs more is refused (0: "
      "what is free)",
      cli::Bytes());
    f("trace", trace, "write trace.json");
  }
};

struct SegmentTrainOptions {
  // SGD with Nesterov momentum, as in nnU-Net.
  SegmentTrainOptions() {
    optim.name = nn::OptimizerKind::kSgd;
    optim.lr = 0.01;
    optim.momentum = 0.99;
    optim.nesterov = true;
    optim.weight_decay = 3e-5;
    optim.clip = 12;
    optim.no_decay = {"bias", "norm", "theta", "beta", "gamma"};
    augment.mirror_axes = {0, 1, 2};
  }

  TrainDataOptions data;
  TrainRunOptions run;
  NetworkOptions model;
  SamplingOptions sampling;
  EpisodeOptions episodes;
  AugmentOptions augment;
  TrainLossOptions loss;
  nn::OptimizerOptions optim;
  InferenceOptions infer;  // of validation

  void Fields(cli::FieldVisitor& f) {
    f.Section("data", data);
    f.Section("run", run);
    f.Section("model", model);
    f.Section("sampling", sampling);
    f.Section("episodes", episodes);
    f.Section("augment", augment);
    f.Section("loss", loss);
    f.Section("optim", optim);
    f.Section("infer", infer);
  }
};

}  // namespace orchard::segment
