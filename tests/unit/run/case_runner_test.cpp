#include "run/case_runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <csignal>

#include "base/error.h"
#include "base/signals.h"
#include "unit/scratch_dir.h"

namespace orchard::run {
namespace {

TEST(CaseRunner, RunsEveryNameOnceAndKeepsItsNumbers) {
  const orchard::testing::ScratchDir scratch;
  const CaseStore store(scratch.path(), "key");
  std::atomic<int> calls = 0;
  const auto work = [&] { return Numbers{{"n", ++calls}}; };
  {
    CaseRunner runner(store, 2, nullptr);
    runner.Run({{"a", work}, {"a", work}, {"b", work, true}});
    runner.Run({{"b", work}});
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(runner.kept(), 0);
    EXPECT_GE(runner.results().At("a", CaseRunner::kSeconds), 0);
  }
  CaseRunner again(store, 1, nullptr);
  again.Run({{"a", work}, {"b", work}, {"c", work}});
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(again.kept(), 2);
  EXPECT_EQ(again.results().At("a", "n") + again.results().At("b", "n"), 3);
  EXPECT_TRUE(std::isnan(again.results().At("a", "m")));
  EXPECT_TRUE(std::isnan(again.results().At("d", "n")));
}

TEST(CaseRunner, TellsOfCasesThatItRuns) {
  const CaseStore nowhere;
  std::string told;
  CaseRunner runner(nowhere, 1, [&](std::string_view name) { told += name; });
  runner.Run({{"x", [] { return Numbers{}; }}, {"y", [] { return Numbers{}; }}});
  EXPECT_EQ(told, "xy");
}

TEST(CaseRunner, ASignalEndsItAfterTheCaseUnderWayWhichIsNotKept) {
  const orchard::testing::ScratchDir scratch;
  const CaseStore store(scratch.path(), "key");
  const StopSignals signals;
  CaseRunner runner(store, 1, nullptr);
  int calls = 0;
  EXPECT_THROW(runner.Run({{"first",
                            [&] {
                              return Numbers{{"n", ++calls}};
                            }},
                           {"cut short",
                            [&] {
                              RequestStop(SIGTERM);
                              return Numbers{{"n", ++calls}};
                            }},
                           {"never",
                            [&] {
                              return Numbers{{"n", ++calls}};
                            }}}),
               InterruptedError);
  ClearStopRequest();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(store.Find("first").has_value());
  EXPECT_FALSE(store.Find("cut short").has_value());
}

TEST(CaseRunner, PassesOnWhatWorkThrows) {
  const CaseStore nowhere;
  CaseRunner runner(nowhere, 1, nullptr);
  EXPECT_THROW(runner.Run({{"bad", []() -> Numbers { throw DataError("no"); }}}), DataError);
}

}  // namespace
}  // namespace orchard::run
