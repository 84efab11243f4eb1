// What a user can ask of `lemon-expand repro`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::expand::repro {

struct ReproOptions {
  std::vector<std::string> experiments;
  bool quick = false;
  int64_t runs = 3;
  std::filesystem::path model;
  int64_t checkpoint_size = 0;
  int64_t max_ram = 64'000'000;
  std::filesystem::path scratch;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("experiments", experiments, "R1, R4, R5, R6 or all (R5 only with --model)");
    f("quick", quick, "smaller sweeps and sizes, for a first look in seconds");
    f("runs", runs, "runs with seeds from --seed on, for confidence intervals",
      cli::Between(1, 100));
    f("model", model, "R5: directory of all-MiniLM-L6-v2 (scripts/setup --where model)");
    f("checkpoint_size", checkpoint_size, "R6: size of the source; 0: four times --max-ram",
      cli::Bytes());
    f("max_ram", max_ram, "R6: bound on memory", cli::Bytes(1 << 22));
    f("scratch", scratch, "where models are made and removed (default: the system's)");
  }
};

}  // namespace orchard::expand::repro
