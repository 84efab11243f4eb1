// All methods that reach a size from one source, side by side: what each keeps of the source's
// function, how far its copies are apart, what it costs, and where training leads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "expand/options.h"
#include "expand/run_set.h"
#include "expand/verify.h"
#include "run/estimate.h"

namespace orchard::expand {

// How every grown model trains on; `steps` 0: not at all.
struct ContinuedTraining {
  int64_t steps = 0;  // of the widest target; the others get as many floating-point operations
  std::string data = "grammar";
  int64_t block = 0;
  int64_t batch = 8;
  double learning_rate = 1e-3;
  int64_t runs = 1;
  std::optional<double> dropout;
};

struct CompareOptions {
  TargetOptions target;
  ComputeType compute = ComputeType::kF32;
  std::filesystem::path tokens;
  int64_t batch = 8;
  int64_t length = 64;
  std::filesystem::path scratch;
  ContinuedTraining training;

  void Fields(cli::FieldVisitor& f) {
    f.Section("target", target);
    f("compute", compute, "arithmetic of the forward passes");
    f("tokens", tokens,
      "text file, a sequence per line, read with the source's tokenizer; default: random inputs");
    f("batch", batch, "sequences or images", cli::Between(1, 4096));
    f("length", length, "tokens of a sequence", cli::Between(2, 1 << 20));
    f("scratch", scratch, "where grown models are made and removed (default: the system's)");
    f("train_steps", training.steps,
      "train every grown model on, for the FLOPs of so many steps of the widest (0: not)",
      cli::AtLeast(0));
    f("train_data", training.data,
      "training data: HDF5, text, IDX or image folder; or grammar, shapes");
    f("train_block", training.block, "tokens of a training sample (0: --length)", cli::AtLeast(0));
    f("train_batch", training.batch, "samples of a training step", cli::AtLeast(1));
    f("learning_rate", training.learning_rate, "peak of AdamW's learning rate", cli::Positive());
    f("train_dropout", training.dropout,
      "dropout in place of the configuration's; it breaks the symmetry of equal copies, too",
      cli::Within(0, 1));
    f("train_runs", training.runs, "trainings of each model, with seeds from --seed on",
      cli::Between(1, 100));
  }
};

struct MethodOutcome {
  Method method = Method::kLemon;
  std::string refused;  // why the method cannot reach the target; empty: it can
  bool lossless = false;
  std::string exactness;
  int64_t layers = 0, parameters = 0;
  double seconds = 0;   // of the expansion
  double relative = 0;  // largest difference of an output, over its largest value
  std::optional<double> loss, kullback_leibler, top1_agreement, cosine_difference;
  std::optional<double> divergence;  // of copied units; nothing where none was copied
  // With training:
  int64_t steps = 0;                        // for the same floating-point operations as the others
  std::optional<run::Estimate> first_loss;  // validation, before the first step
  std::optional<run::Estimate> final_loss;  // after the last; not a number where a run diverged
  std::optional<run::Estimate> trained_divergence;  // of copied units, after the last
  std::vector<RunOutcome> trainings;                // one for each seed
};

// What is compared in, and with.
struct CompareSetting {
  uint64_t seed = 0;
  int threads = 1;
  std::string device = "cpu";                          // of trainings
  std::filesystem::path trainings;                     // where they are kept; empty: nowhere
  std::function<void(std::string_view what)> on_step;  // called before each piece of work
};

struct Comparison {
  std::optional<double> source_loss;  // nats per token; of decoders
  std::vector<MethodOutcome> methods;
};

// Grows `source` by every method and compares over the same inputs; with training, every grown
// model goes on with the same data, schedule, seeds and number of floating-point operations. Throws
// DataError for a damaged source, UsageError for a target smaller than the source, and what
// training throws.
Comparison Compare(const std::filesystem::path& source, const CompareOptions& options,
                   const CompareSetting& setting);

}  // namespace orchard::expand
