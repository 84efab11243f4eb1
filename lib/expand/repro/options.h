// What a user can ask of `lemon-expand repro`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::expand::repro {

// Sizes of the schedule experiment (R3).
enum class Tier { kCpu, kGpu, kGpuLarge };
inline constexpr cli::EnumName<Tier> kTierNames[] = {
    {"cpu", Tier::kCpu}, {"gpu", Tier::kGpu}, {"gpu-large", Tier::kGpuLarge}};
constexpr auto EnumNames(Tier) { return std::span(kTierNames); }

struct ReproOptions {
  std::vector<std::string> experiments;
  bool quick = false;
  int64_t runs = 3;
  std::filesystem::path model;
  int64_t checkpoint_size = 0;
  int64_t max_ram = 64'000'000;
  std::filesystem::path scratch;
  Tier tier = Tier::kCpu;
  int64_t steps = 0;
  std::filesystem::path trainings;
  std::string shard = "1/1";

  void Fields(cli::FieldVisitor& f) {
    f.Positional("experiments", experiments, "R1 to R6 or all (R5 only with --model)");
    f("quick", quick,
      "smaller sweeps and sizes, for a first look in seconds (R2, R3: a minute or a few)");
    f("runs", runs, "runs with seeds from --seed on, for confidence intervals",
      cli::Between(1, 100));
    f("model", model, "R5: directory of all-MiniLM-L6-v2 (scripts/setup --where model)");
    f("checkpoint_size", checkpoint_size, "R6: size of the source; 0: four times --max-ram",
      cli::Bytes());
    f("max_ram", max_ram, "R6: bound on memory", cli::Bytes(1 << 22));
    f("scratch", scratch, "where models are made and removed (default: the system's)");
    f("tier", tier, "R3: sizes of the models");
    f("steps", steps, "R2, R3: optimiser steps of a full training (0: the experiment's own)",
      cli::AtLeast(0));
    f("trainings", trainings,
      "R2, R3: where finished trainings are kept and found again (default: in --out)");
    f("shard", shard, "R3: only the seeds of the i-th of n array tasks: i/n, with --trainings");
  }
};

}  // namespace orchard::expand::repro
