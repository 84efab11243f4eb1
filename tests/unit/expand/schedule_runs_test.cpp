// The trainings of R3 are fair to every method: same peaks, same floating-point operations, same
// seeds.
#include "expand/repro/schedule_runs.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace orchard::expand::repro {
namespace {

ScheduleSetting Setting() {
  return {.tier = FindTier(Tier::kCpu),
          .steps = 2000,
          .characters = 1000,
          .seed = 7,
          .seed_indices = {0, 2},
          .directory = "trainings"};
}

TEST(ScheduleRuns, TryEveryStartWithTheSamePeaks) {
  std::map<std::string, std::set<double>> peaks;
  for (const ScheduleRun& run : ScheduleRuns(Setting())) {
    const bool shortest = run.start == Start::kExpanded && run.horizon == kHorizons[0];
    if (run.start == Start::kScratch || shortest) {
      peaks[Label(run)].insert(run.request.options.opt.lr);
    }
  }
  EXPECT_EQ(peaks.size(), 7u);
  for (const auto& [label, tried] : peaks) EXPECT_EQ(tried, peaks["scratch"]) << label;
  EXPECT_EQ(peaks["scratch"].size(), std::size(kRateFactors));
}

TEST(ScheduleRuns, GiveShortSchedulesTheSameFlops) {
  const ScheduleSetting setting = Setting();
  const double budget = 0.433 * 2000 * StepFlops(setting.tier, setting.tier.target);
  for (const ScheduleRun& run : ScheduleRuns(setting)) {
    if (run.start != Start::kExpanded || run.horizon != kHorizons[0]) continue;
    const double step = StepFlops(setting.tier, run.size);
    EXPECT_NEAR(static_cast<double>(run.request.options.sched.steps) * step, budget, step)
        << run.request.name;
  }
}

TEST(ScheduleRuns, BeginWithWhatOthersStartFrom) {
  std::set<std::string> begun;
  for (const ScheduleRun& run : ScheduleRuns(Setting())) {
    EXPECT_EQ(run.request.seed, 7u + static_cast<uint64_t>(run.seed_index));
    if (!run.request.after.empty()) {
      EXPECT_TRUE(begun.contains(run.request.after)) << run.request.name;
    }
    EXPECT_TRUE(begun.insert(run.request.name).second) << run.request.name;
  }
  EXPECT_EQ(begun.size(), 2u * 35);
}

TEST(ScheduleRuns, WarmUpForAsManyStepsOnEverySchedule) {
  for (const ScheduleRun& run : ScheduleRuns(Setting())) {
    EXPECT_EQ(run.request.options.sched.schedule.warmup, 100) << run.request.name;
    EXPECT_EQ(*run.request.options.model.dropout, 0);
  }
}

}  // namespace
}  // namespace orchard::expand::repro
