// What a user can ask of `cser-train repro`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::sync::repro {

struct ReproOptions {
  std::vector<std::string> experiments;
  bool quick = false;
  int64_t runs = 3;
  std::optional<std::filesystem::path> data;
  std::string shard = "1/1";
  std::filesystem::path cases;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("experiments", experiments, "C1 to C7, or none for all", false);
    f("quick", quick, "a fifth of the data and of the epochs: minutes, for a first look");
    f("runs", runs, "runs with seeds from --seed on, for confidence intervals",
      cli::Between(1, 100));
    f("data", data, "folder of Fashion-MNIST's IDX files (default: Debian's package)");
    f("shard", shard, "only every n-th training, from the i-th on: i/n, with --cases");
    f("cases", cases, "where finished trainings are kept and found again (default: in --out)");
  }
};

}  // namespace orchard::sync::repro
