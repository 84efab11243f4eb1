// lemon-expand eval: the options, known to both halves.
#pragma once

#include <filesystem>
#include <string>

#include "cli/fields.h"
#include "expand/train_options.h"

namespace orchard::lemon_expand {

struct EvalCommandOptions {
  EvalCommandOptions() {
    data.train.clear();
    data.holdout = 1;
  }

  std::filesystem::path model;
  std::string dataset;
  expand::TrainDataOptions data;  // `train` empty: statistics of images come from `dataset`
  int64_t batch = 8;
  int64_t batches = 0;
  expand::Precision precision = expand::Precision::kF32;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "Hugging Face directory");
    f.Positional("dataset", dataset, "HDF5, text, IDX or image folder; or grammar, shapes");
    f.Section("data", data);
    f("batch", batch, "samples of a batch", cli::AtLeast(1));
    f("batches", batches, "batches to look at, at most (0: all)", cli::AtLeast(0));
    f("precision", precision, "of matrix products");
  }
};

}  // namespace orchard::lemon_expand
