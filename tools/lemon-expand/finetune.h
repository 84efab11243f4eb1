// lemon-expand finetune: the options, known to both halves.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "cli/fields.h"
#include "expand/train_options.h"

namespace orchard::lemon_expand {

// Defaults are the recipe of LEMON's GLUE runs (docs/methods/lemon-expand.md, "Fine-tuning").
struct FinetuneCommandOptions {
  std::filesystem::path model;
  std::string train, valid;
  expand::LabelColumns columns;
  std::string tokenizer;
  double holdout = 0.1;
  int64_t length = 126;
  double epochs = 3;
  double lr = 1e-4;
  double warmup_part = 0.1;
  double weight_decay = 0, clip = 1;
  int64_t batch = 32, accum = 1;
  std::optional<double> dropout;
  bool grad_checkpoint = false;
  expand::Selection select = expand::Selection::kAuto;
  expand::Precision precision = expand::Precision::kF32;
  int64_t ranks = 0, save_every = 0, log_every = 10;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "Hugging Face directory of a model for texts");
    f.Positional("train", train, "CSV, TSV or JSONL with texts and labels");
    f("valid", valid, "file for validation (empty: a part of the training file)");
    columns.Fields(f);
    f("tokenizer", tokenizer, "tokenizer.json or bytes (empty: the model's own, else bytes)");
    f("holdout", holdout, "part of the training file kept for validation", cli::Between(0, 1));
    f("length", length, "tokens of a text or pair, special ones included, at most",
      cli::AtLeast(1));
    f("epochs", epochs, "passes over the training data; each is followed by a validation",
      cli::Positive());
    f("lr", lr, "peak learning rate", cli::Positive());
    f("warmup_part", warmup_part, "part of the steps that warms up; then straight to zero",
      cli::Within(0, 1));
    f("weight_decay", weight_decay, "weight decay of AdamW", cli::AtLeast(0));
    f("clip", clip, "largest global gradient norm (0: off)", cli::AtLeast(0));
    f("batch", batch, "texts of one rank's micro-batch", cli::AtLeast(1));
    f("accum", accum, "micro-batches of a step", cli::AtLeast(1));
    f("dropout", dropout, "dropout in place of the configuration's", cli::Within(0, 1));
    f("grad_checkpoint", grad_checkpoint, "compute layers again backwards: less memory");
    f("select", select, "score of the best epoch (auto: accuracy, regressions spearman)");
    f("precision", precision, "of matrix products; weights are f32, or f64 with f64");
    f("ranks", ranks, "ranks to simulate in this process (not under mpirun or srun)",
      cli::AtLeast(0));
    f("save_every", save_every, "steps between checkpoints (0: on a stop)", cli::AtLeast(0));
    f("log_every", log_every, "steps between lines of metrics", cli::AtLeast(1));
  }

  // The training run that this is.
  expand::TrainOptions Training() const {
    expand::TrainOptions t;
    t.model.path = model;
    t.model.dropout = dropout;
    t.model.grad_checkpoint = grad_checkpoint;
    t.data.kind = expand::DataKind::kLabels;
    t.data.train = train;
    t.data.valid = valid;
    t.data.holdout = holdout;
    t.data.tokenizer = tokenizer;
    t.data.block = length;
    t.data.columns = columns;
    t.opt.lr = lr;
    t.opt.weight_decay = weight_decay;
    t.opt.clip = clip;
    t.sched.epochs = epochs;
    t.sched.warmup_part = warmup_part;
    t.sched.schedule.kind = nn::ScheduleKind::kLinear;
    t.run.batch = batch;
    t.run.accum = accum;
    t.run.eval_epochs = true;
    t.run.keep_best = true;
    t.run.select = select;
    t.run.precision = precision;
    t.run.ranks = ranks;
    t.run.save_every = save_every;
    t.run.log_every = log_every;
    return t;
  }
};

}  // namespace orchard::lemon_expand
