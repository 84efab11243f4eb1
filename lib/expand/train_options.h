// What a training run is told: the sections [model], [data], [augment], [opt], [sched] and [run].
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "cli/fields.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

namespace orchard::expand {

enum class Initial { kLoad, kRandom };
inline constexpr cli::EnumName<Initial> kInitialNames[] = {{"load", Initial::kLoad},
                                                           {"random", Initial::kRandom}};
constexpr auto EnumNames(Initial) { return std::span(kInitialNames); }

enum class Trained { kAll, kNew };
inline constexpr cli::EnumName<Trained> kTrainedNames[] = {{"all", Trained::kAll},
                                                           {"new", Trained::kNew}};
constexpr auto EnumNames(Trained) { return std::span(kTrainedNames); }

// Which model, and where its weights come from.
struct TrainModelOptions {
  std::filesystem::path path;       // Hugging Face directory; empty: a model of the sizes below
  Initial init = Initial::kLoad;    // of `path`; kRandom needs its config.json only
  std::string type = "gpt2";        // without `path`: the architecture
  int64_t hidden = 64, layers = 2;  // without `path`
  int64_t heads = 4, kv_heads = 0;  // without `path`; kv_heads 0: as many as heads
  int64_t ffn = 0;                  // without `path`; 0: four times hidden
  int64_t positions = 0;            // without `path`; 0: as long as a block
  int64_t patch = 4;                // without `path`, images: pixels of a patch's side
  Trained train = Trained::kAll;    // kNew: only the layers that an expansion added
  std::optional<double> dropout;    // in place of the configuration's
  std::optional<double> drop_path;  // likewise

  void Fields(cli::FieldVisitor& f) {
    f("path", path, "model directory to start from (empty: a new one of the sizes below)");
    f("init", init, "take the weights of the directory, or only its config.json");
    f("type", type, "architecture of a new model: gpt2, llama, bert, vit, resnet18, ...");
    f("hidden", hidden, "width of a new model", cli::AtLeast(1));
    f("layers", layers, "layers of a new model", cli::AtLeast(1));
    f("heads", heads, "attention heads of a new model", cli::AtLeast(1));
    f("kv_heads", kv_heads, "key-value heads of a new model (0: as heads)", cli::AtLeast(0));
    f("ffn", ffn, "hidden units of a new model's MLP (0: 4 x hidden)", cli::AtLeast(0));
    f("positions", positions, "longest sequence of a new model (0: the block)", cli::AtLeast(0));
    f("patch", patch, "side of a patch of a new image model, pixels", cli::AtLeast(1));
    f("train", train, "all weights, or only the layers that an expansion added");
    f("dropout", dropout, "dropout in place of the configuration's", cli::Within(0, 1));
    f("drop_path", drop_path, "stochastic depth of the last layer", cli::Within(0, 1));
  }
};

enum class DataKind { kClm, kMlm, kImage };
inline constexpr cli::EnumName<DataKind> kDataKindNames[] = {
    {"clm", DataKind::kClm}, {"mlm", DataKind::kMlm}, {"image", DataKind::kImage}};
constexpr auto EnumNames(DataKind) { return std::span(kDataKindNames); }

// What it learns from. `train` and `valid` are files, or the names of data that the program makes:
// "grammar" (text) and "shapes" (images).
struct TrainDataOptions {
  DataKind kind = DataKind::kClm;
  std::string train = "grammar";
  std::string valid;             // empty: `holdout` of the training data
  double holdout = 0.05;         // taken from the end of `train`
  std::string tokenizer;         // "bytes" or a tokenizer.json; empty: beside the model, else bytes
  int64_t block = 0;             // tokens of a sample; 0: 1024 (clm) or 126 (mlm)
  double mlm_prob = 0.15;        // of a token to be predicted
  int64_t characters = 3000000;  // of the grammar corpus
  int64_t images = 10000;        // of the shapes
  int64_t size = 0;              // images: side of the square that folder pictures are resized to
  int64_t seed = 0;              // of the data that the program makes
  int64_t crop_padding = 0;
  bool flip = false;
  double erase = 0, mixup = 0, cutmix = 0, label_smoothing = 0;

  void Fields(cli::FieldVisitor& f) {
    f("kind", kind, "causal or masked language modelling, or image classification");
    f("train", train, "HDF5, text, IDX or image folder; or grammar, shapes (made by the program)");
    f("valid", valid, "validation data (empty: the end of the training data)");
    f("holdout", holdout, "part of the training data kept for validation", cli::Between(0, 1));
    f("tokenizer", tokenizer, "tokenizer.json or bytes (empty: the model's own, else bytes)");
    f("block", block, "tokens of a sample (0: 1024, mlm 126)", cli::AtLeast(0));
    f("mlm_prob", mlm_prob, "part of the tokens to be predicted", cli::Between(0, 1));
    f("characters", characters, "length of the grammar corpus", cli::Count(1000));
    f("images", images, "number of shapes", cli::AtLeast(10));
    f("size", size, "side that pictures of a folder are resized to (0: not)", cli::AtLeast(0));
    f("seed", seed, "seed of grammar and shapes", cli::AtLeast(0));
    f("crop_padding", crop_padding, "images: pixels around before a random crop", cli::AtLeast(0));
    f("flip", flip, "images: mirror every second");
    f("erase", erase, "images: probability of a random rectangle", cli::Between(0, 1));
    f("mixup", mixup, "images: alpha of mixup (0: off)", cli::AtLeast(0));
    f("cutmix", cutmix, "images: alpha of cutmix (0: off)", cli::AtLeast(0));
    f("label_smoothing", label_smoothing, "images: of the targets", cli::Within(0, 1));
  }
};

// How long, and the learning rate over the steps.
struct TrainScheduleOptions {
  int64_t steps = 1000;          // optimiser steps in all
  std::optional<double> epochs;  // in place of `steps`
  nn::ScheduleOptions schedule;

  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "optimiser steps", cli::AtLeast(1));
    f("epochs", epochs, "passes over the training data, in place of steps", cli::Positive());
    schedule.Fields(f);
  }
};

enum class Precision { kF32, kBf16, kF64 };
inline constexpr cli::EnumName<Precision> kPrecisionNames[] = {
    {"f32", Precision::kF32}, {"bf16", Precision::kBf16}, {"f64", Precision::kF64}};
constexpr auto EnumNames(Precision) { return std::span(kPrecisionNames); }

struct TrainRunOptions {
  int64_t batch = 8;          // samples of one rank and micro-batch
  int64_t accum = 1;          // micro-batches of a step
  int64_t eval_every = 100;   // steps; 0: only at the beginning and the end
  int64_t eval_batches = 20;  // of validation, at most; 0: all
  int64_t save_every = 0;     // steps; 0: only on a stop
  int64_t log_every = 1;      // steps
  int64_t ranks = 0;          // to simulate; 0: what the launcher started, or one
  // Of matrix products and activations' gradients; weights are f64 for f64, else f32.
  Precision precision = Precision::kF32;
  bool trace = false;

  void Fields(cli::FieldVisitor& f) {
    f("batch", batch, "samples of one rank's micro-batch", cli::AtLeast(1));
    f("accum", accum, "micro-batches of a step", cli::AtLeast(1));
    f("eval_every", eval_every, "steps between validations (0: first and last)", cli::AtLeast(0));
    f("eval_batches", eval_batches, "batches of a validation, at most (0: all)", cli::AtLeast(0));
    f("save_every", save_every, "steps between checkpoints (0: on a stop)", cli::AtLeast(0));
    f("log_every", log_every, "steps between lines of metrics", cli::AtLeast(1));
    f("ranks", ranks, "ranks to simulate in this process (not under mpirun or srun)",
      cli::AtLeast(0));
    f("precision", precision, "of matrix products; weights are f32, or f64 with f64");
    f("trace", trace, "write trace.json");
  }
};

struct TrainOptions {
  TrainModelOptions model;
  TrainDataOptions data;
  nn::OptimizerOptions opt;
  TrainScheduleOptions sched;
  TrainRunOptions run;

  void Fields(cli::FieldVisitor& f) {
    f.Section("model", model);
    f.Section("data", data);
    f.Section("opt", opt);
    f.Section("sched", sched);
    f.Section("run", run);
  }
};

}  // namespace orchard::expand
