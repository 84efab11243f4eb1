// What a user can ask of profiling, calibration and execution. Field names are the configuration
// keys and, in kebab-case, the flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::execute {

enum class ModelKind { kTwoTower, kChain, kInceptionV3, kTransformerBase, kGnmt };
inline constexpr cli::EnumName<ModelKind> kModelKindNames[] = {
    {"two-tower", ModelKind::kTwoTower},
    {"chain", ModelKind::kChain},
    {"inception-v3", ModelKind::kInceptionV3},
    {"transformer-base", ModelKind::kTransformerBase},
    {"gnmt", ModelKind::kGnmt}};
constexpr auto EnumNames(ModelKind) { return std::span(kModelKindNames); }

struct ModelOptions {
  ModelKind model = ModelKind::kTwoTower;
  int64_t batch = 64;
  int64_t width = 1024;
  int64_t layers = 6;
  int64_t vocabulary = 30000;
  int64_t length = 50;

  void Fields(cli::FieldVisitor& f) {
    f("model", model, "what to make");
    f("batch", batch, "samples in the inputs that the file states", cli::Between(1, 1e6));
    f("width", width, "units of each layer of two-tower, chain and gnmt", cli::Between(1, 65536));
    f("layers", layers, "layers of each tower, of the chain, or of gnmt's encoder and decoder",
      cli::Between(1, 10000));
    f("vocabulary", vocabulary, "tokens of transformer-base and gnmt", cli::Between(2, 1e7));
    f("length", length, "tokens of a sequence of transformer-base and gnmt",
      cli::Between(1, 65536));
  }
};

// Which inputs a model is recorded, measured and run with.
struct InputOptions {
  std::vector<std::string> input;

  void Fields(cli::FieldVisitor& f) {
    f("input", input,
      "shape of each input, SHAPE[/DTYPE[:CLASSES]], as 8x3x224x224 or 8x40/i64:30000; without: "
      "what the file states");
  }
};

struct ProfileOptions {
  int64_t rounds = 20;
  int64_t warmup = 5;
  bool backward = true;

  void Fields(cli::FieldVisitor& f) {
    f("rounds", rounds, "measured runs, of which each operator's median counts",
      cli::Between(1, 1e6));
    f("warmup", warmup, "runs before them", cli::Between(0, 1e6));
    f("backward", backward, "measure the backward pass too");
  }
};

struct CalibrateOptions {
  std::vector<std::string> devices = {"cpu:0", "cpu:1"};
  int64_t largest = 64 << 20;
  int64_t rounds = 20;

  void Fields(cli::FieldVisitor& f) {
    f("devices", devices, "devices: cpu:0,cpu:1 or cuda:0,cuda:1 or cuda:0/0,cuda:0/1");
    f("largest", largest, "largest transfer", cli::Bytes(4 << 20));
    f("rounds", rounds, "measured transfers of each size, of which the median counts",
      cli::Between(3, 1e6));
  }
};

enum class Training { kNone, kSgd };
inline constexpr cli::EnumName<Training> kTrainingNames[] = {{"none", Training::kNone},
                                                             {"sgd", Training::kSgd}};
constexpr auto EnumNames(Training) { return std::span(kTrainingNames); }

struct RunOptions {
  int64_t steps = 20;
  int64_t warmup = 5;
  Training train = Training::kNone;
  double learning_rate = 0.01;
  bool check = true;
  std::optional<double> tolerance;
  bool compare_single = true;
  bool throttle = false;
  bool recalibrate = false;
  int64_t recalibrate_rounds = 5;

  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "measured steps, of which the median counts", cli::Between(1, 1e7));
    f("warmup", warmup, "steps before them", cli::Between(0, 1e6));
    f("train", train, "sgd: forward, backward and a step; none: forward alone");
    f("learning_rate", learning_rate, "of sgd", cli::AtLeast(0));
    f("check", check, "compare outputs, and gradients with --train, with one device");
    f("tolerance", tolerance,
      "largest relative difference that passes; without: 0 on CPU devices, 1e-5 with CUDA",
      cli::AtLeast(0));
    f("compare_single", compare_single, "alternate the steps with steps on one device");
    f("throttle", throttle,
      "let transfers between CPU devices take as long as the links of --devices say");
    f("recalibrate", recalibrate,
      "take the measured times into the graph and place again until the prediction is within 10 %");
    f("recalibrate_rounds", recalibrate_rounds, "at most so many times", cli::Between(1, 100));
  }
};

}  // namespace orchard::execute
