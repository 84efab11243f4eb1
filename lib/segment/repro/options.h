// What a user can ask of `siamese-seg repro`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::segment::repro {

struct ReproOptions {
  std::vector<std::string> experiments;
  bool quick = false;
  int64_t seeds = 3;
  double minutes = 30;
  std::vector<int64_t> sizes;
  std::filesystem::path data = "data/hippocampus";
  std::string shard = "1/1";
  std::filesystem::path cases;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("experiments", experiments, "size, E1 to E5, or none for all", false);
    f("quick", quick, "a smaller network, a third of a minute a training: for a first look");
    f("seeds", seeds, "trainings with seeds from --seed on", cli::Between(1, 100));
    f("minutes", minutes, "processor time of each training, all threads together", cli::Positive());
    f("sizes", sizes, "size: training cases (default: 8, 16, 50 and all)", cli::AtLeast(2));
    f("data", data, "folder of a data set; a fifth of its subjects is for testing");
    f("shard", shard, "only every n-th training, from the i-th on: i/n, with --cases");
    f("cases", cases, "where finished trainings are kept and found again (default: in --out)");
  }
};

}  // namespace orchard::segment::repro
