#include "sync/repro/experiments.h"

#include <iterator>

#include "run/experiment_suite.h"

namespace orchard::sync::repro {
namespace {

constexpr Experiment kExperiments[] = {
    {"C1", "Accuracy as traffic shrinks", RankingCases, Ranking},
    {"C2", "Ranks that see few classes", UnlikeRanksCases, UnlikeRanks},
    {"C3", "Warm-up for all or for none", WarmUpCases, WarmUp},
    {"C4", "Cyclic and uniform blocks", BlockOrderCases, BlockOrders},
    {"C5", "Every method at its best learning rate", RatesCases, Rates},
    {"C6", "A part of the error held back", HeldBackCases, HeldBack},
    {"C7", "Means that arrive late", LateMeansCases, LateMeans},
};

}  // namespace

std::span<const Experiment> Experiments() { return kExperiments; }

std::vector<const Experiment*> FindExperiments(const std::vector<std::string>& names) {
  return run::SelectExperiments(Experiments(), names, "experiments",
                                "there are C1 to C" + std::to_string(std::size(kExperiments)));
}

}  // namespace orchard::sync::repro
