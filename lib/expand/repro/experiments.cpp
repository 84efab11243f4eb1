#include "expand/repro/experiments.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace orchard::expand::repro {
namespace {

constexpr ExperimentInfo kExperiments[] = {
    {"R1", "Lossless sweep over block types, widths and depths", LosslessSweep},
    {"R2", "Symmetry of copies during training", Symmetry},
    {"R3", "Shorter schedule of an expanded model", ScheduleClaim},
    {"R4", "Ablation of the LayerNorm rule", NormAblation},
    {"R5", "Sentence embeddings of a real model", SentenceCosines},
    {"R6", "Memory of an out-of-core expansion", OutOfCore},
};

std::string Names() {
  std::string names;
  for (const ExperimentInfo& info : kExperiments) names += std::string(info.name) + ", ";
  return names + "all";
}

}  // namespace

std::span<const ExperimentInfo> Experiments() { return kExperiments; }

std::vector<const ExperimentInfo*> FindExperiments(const ReproOptions& options) {
  const std::vector<std::string>& names = options.experiments;
  for (const std::string& name : names) {
    const bool known = std::any_of(std::begin(kExperiments), std::end(kExperiments),
                                   [&](const ExperimentInfo& info) { return info.name == name; });
    if (name != "all" && !known) throw UsageError("no experiment '" + name + "'", "", Names());
  }
  const auto asked = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<const ExperimentInfo*> found;
  for (const ExperimentInfo& info : kExperiments) {
    const bool possible = info.name != "R5" || !options.model.empty();
    if (asked(info.name) || (asked("all") && possible)) found.push_back(&info);
  }
  return found;
}

}  // namespace orchard::expand::repro
