// What a training run is told: the sections [model], [data], [opt], [sched], [run] and [expand].
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

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
  bool grad_checkpoint = false;     // compute layers again in the backward pass
  int64_t mask_ramp = 0;            // steps in which what an expansion added fades in; 0: none

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
    f("grad_checkpoint", grad_checkpoint,
      "keep only what enters each layer and compute it again backwards: less memory, same bits");
    f("mask_ramp", mask_ramp,
      "steps in which units and layers added by --method zero-pad fade in (0: they are just there)",
      cli::AtLeast(0));
  }
};

enum class DataKind { kClm, kMlm, kImage, kLabels };
inline constexpr cli::EnumName<DataKind> kDataKindNames[] = {{"clm", DataKind::kClm},
                                                             {"mlm", DataKind::kMlm},
                                                             {"image", DataKind::kImage},
                                                             {"labels", DataKind::kLabels}};
constexpr auto EnumNames(DataKind) { return std::span(kDataKindNames); }

// Columns of a file of labelled texts.
struct LabelColumns {
  std::string text_a = "text_a", text_b = "text_b", label = "label";
  bool regression = false;  // labels are numbers to predict, not classes

  void Fields(cli::FieldVisitor& f) {
    f("text_a", text_a, "labels: column of the text");
    f("text_b", text_b, "labels: column of a second text, where the file has it");
    f("label", label, "labels: column of the label");
    f("regression", regression, "labels: they are numbers to predict, not classes");
  }
};

// What it learns from. `train` and `valid` are files, or the names of data that the program makes:
// "grammar" (text) and "shapes" (images).
struct TrainDataOptions {
  DataKind kind = DataKind::kClm;
  std::string train = "grammar";
  std::string valid;             // empty: `holdout` of the training data
  double holdout = 0.05;         // taken from the end of `train`
  std::string tokenizer;         // "bytes" or a tokenizer.json; empty: beside the model, else bytes
  int64_t block = 0;             // tokens of a sample; 0: 1024 (clm) or 126 (mlm, labels)
  double mlm_prob = 0.15;        // of a token to be predicted
  int64_t characters = 3000000;  // of the grammar corpus
  int64_t images = 10000;        // of the shapes
  int64_t size = 0;              // images: side of the square that folder pictures are resized to
  int64_t seed = 0;              // of the data that the program makes
  int64_t crop_padding = 0;
  int64_t repeats = 1;
  bool flip = false;
  double erase = 0, mixup = 0, cutmix = 0, label_smoothing = 0;
  LabelColumns columns;

  void Fields(cli::FieldVisitor& f) {
    f("kind", kind,
      "causal or masked language modelling, images with classes, or texts with labels");
    f("train", train,
      "HDF5, text, IDX, image folder, or CSV, TSV, JSONL of labelled texts; or grammar, shapes "
      "(made by the program)");
    f("valid", valid, "validation data (empty: the end of the training data)");
    f("holdout", holdout, "part of the training data kept for validation", cli::Between(0, 1));
    f("tokenizer", tokenizer, "tokenizer.json or bytes (empty: the model's own, else bytes)");
    f("block", block, "tokens of a sample, of labelled texts at most (0: 1024; mlm, labels 126)",
      cli::AtLeast(0));
    f("mlm_prob", mlm_prob, "part of the tokens to be predicted", cli::Between(0, 1));
    f("characters", characters, "length of the grammar corpus", cli::Count(1000));
    f("images", images, "number of shapes", cli::AtLeast(10));
    f("size", size, "side that pictures of a folder are resized to (0: not)", cli::AtLeast(0));
    f("seed", seed, "seed of grammar and shapes", cli::AtLeast(0));
    f("crop_padding", crop_padding, "images: pixels around before a random crop", cli::AtLeast(0));
    f("repeats", repeats, "images: times that each comes in a row, augmented anew (1: once)",
      cli::AtLeast(1));
    f("flip", flip, "images: mirror every second");
    f("erase", erase, "images: probability of a random rectangle", cli::Between(0, 1));
    f("mixup", mixup, "images: alpha of mixup (0: off)", cli::AtLeast(0));
    f("cutmix", cutmix, "images: alpha of cutmix (0: off)", cli::AtLeast(0));
    f("label_smoothing", label_smoothing, "images: of the targets", cli::Within(0, 1));
    columns.Fields(f);
  }
};

// The learning rate of maps whose weights an expansion split over K copies of an input: all parts
// move with the step, so the map moves K times as far as the source's did.
enum class SplitRate { kOne, kInverse };
inline constexpr cli::EnumName<SplitRate> kSplitRateNames[] = {{"1", SplitRate::kOne},
                                                               {"1/K", SplitRate::kInverse}};
constexpr auto EnumNames(SplitRate) { return std::span(kSplitRateNames); }

// How long, and the learning rate over the steps.
struct TrainScheduleOptions {
  int64_t steps = 1000;               // optimiser steps in all
  std::optional<double> epochs;       // in place of `steps`
  std::optional<double> warmup_part;  // of the steps, in place of `warmup`
  SplitRate lr_split_scale = SplitRate::kOne;
  nn::ScheduleOptions schedule;

  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "optimiser steps", cli::AtLeast(1));
    f("epochs", epochs, "passes over the training data, in place of steps", cli::Positive());
    f("warmup_part", warmup_part, "part of the steps that warms up, in place of warmup",
      cli::Within(0, 1));
    f("lr_split_scale", lr_split_scale,
      "expanded models: factor of the learning rate of maps split over K copies of their input");
    schedule.Fields(f);
  }
};

enum class Precision { kF32, kBf16, kF64 };
inline constexpr cli::EnumName<Precision> kPrecisionNames[] = {
    {"f32", Precision::kF32}, {"bf16", Precision::kBf16}, {"f64", Precision::kF64}};
constexpr auto EnumNames(Precision) { return std::span(kPrecisionNames); }

// What makes one validation better than another.
enum class Selection { kAuto, kLoss, kAccuracy, kF1, kMatthews, kPearson, kSpearman };
inline constexpr cli::EnumName<Selection> kSelectionNames[] = {
    {"auto", Selection::kAuto},         {"loss", Selection::kLoss},
    {"accuracy", Selection::kAccuracy}, {"f1", Selection::kF1},
    {"matthews", Selection::kMatthews}, {"pearson", Selection::kPearson},
    {"spearman", Selection::kSpearman}};
constexpr auto EnumNames(Selection) { return std::span(kSelectionNames); }

struct TrainRunOptions {
  int64_t batch = 8;                    // samples of one rank and micro-batch
  int64_t accum = 1;                    // micro-batches of a step
  int64_t eval_every = 100;             // steps; 0: only at the beginning and the end
  int64_t eval_batches = 0;             // of validation, at most; 0: all
  bool eval_epochs = false;             // after every pass over the data, in place of eval_every
  bool keep_best = false;               // the model of the best validation, in best/
  Selection select = Selection::kAuto;  // what the best validation has most of; auto: see Selected
  int64_t save_every = 0;               // steps; 0: only on a stop
  int64_t divergence_every = 0;         // steps between copy divergences; 0: with every validation
  int64_t log_every = 1;                // steps
  int64_t ranks = 0;                    // to simulate; 0: what the launcher started, or one
  // Of matrix products and activations' gradients; weights are f64 for f64, else f32.
  Precision precision = Precision::kF32;
  bool trace = false;

  void Fields(cli::FieldVisitor& f) {
    f("batch", batch, "samples of one rank's micro-batch", cli::AtLeast(1));
    f("accum", accum, "micro-batches of a step", cli::AtLeast(1));
    f("eval_every", eval_every, "steps between validations (0: first and last)", cli::AtLeast(0));
    f("eval_batches", eval_batches, "batches of a validation, at most (0: all)", cli::AtLeast(0));
    f("eval_epochs", eval_epochs, "validate after every pass over the data instead");
    f("keep_best", keep_best, "also keep the model of the best validation, in best/");
    f("select", select,
      "what makes a validation the best (auto: accuracy, regressions spearman, texts loss)");
    f("save_every", save_every, "steps between checkpoints (0: on a stop)", cli::AtLeast(0));
    f("divergence_every", divergence_every,
      "expanded models: steps between looks at how far copies are apart (0: as eval_every)",
      cli::AtLeast(0));
    f("log_every", log_every, "steps between lines of metrics", cli::AtLeast(1));
    f("ranks", ranks, "ranks to simulate in this process (not under mpirun or srun)",
      cli::AtLeast(0));
    f("precision", precision, "of matrix products; weights are f32, or f64 with f64");
    f("trace", trace, "write trace.json");
  }
};

// Growth within the run.
struct TrainGrowthOptions {
  std::vector<std::string> staged;  // one text per growth, see GrowthStage

  void Fields(cli::FieldVisitor& f) {
    f("staged", staged,
      "growths within the run, each 'at_step=N hidden=N layers=N method=lemon optim=map ...'");
  }
};

struct TrainOptions {
  TrainModelOptions model;
  TrainDataOptions data;
  nn::OptimizerOptions opt;
  TrainScheduleOptions sched;
  TrainRunOptions run;
  TrainGrowthOptions expand;

  void Fields(cli::FieldVisitor& f) {
    f.Section("model", model);
    f.Section("data", data);
    f.Section("opt", opt);
    f.Section("sched", sched);
    f.Section("run", run);
    f.Section("expand", expand);
  }
};

}  // namespace orchard::expand
