// What a user can ask of `baechi-place bench`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::place::paper {

enum class Suite { kPaper };
inline constexpr cli::EnumName<Suite> kSuiteNames[] = {{"paper", Suite::kPaper}};
constexpr auto EnumNames(Suite) { return std::span(kSuiteNames); }

struct PaperOptions {
  Suite suite = Suite::kPaper;
  std::vector<std::string> experiment;
  bool full = false;
  std::filesystem::path graphs = "data/graphs";
  std::string shard = "1/1";
  std::filesystem::path cases;

  void Fields(cli::FieldVisitor& f) {
    f("suite", suite, "paper: the claims of the method's paper, and what else is true of them");
    f("experiment", experiment, "E1 to E8; without: all");
    f("full", full, "more seeds, more random graphs, larger sizes: an hour instead of minutes");
    f("graphs", graphs,
      "folder with gnmt_v2.json and workloads/; what is missing is generated or left out");
    f("shard", shard, "only every n-th case, from the i-th on: i/n, with --cases");
    f("cases", cases, "where results of single cases are kept and found again (default: in --out)");
  }
};

}  // namespace orchard::place::paper
