#include "sync/drift_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace orchard::sync {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(DriftMonitor, WarnsOnceOfModelsThatAreApart) {
  DriftMonitor monitor(0.3, false);
  EXPECT_THAT(monitor.After(1, 0.5, 0.2), IsEmpty());
  EXPECT_THAT(monitor.After(1, 0.6, 0.4), ElementsAre(HasSubstr("0.40 of their mean's norm")));
  EXPECT_THAT(monitor.After(1, 0.7, 0.5), IsEmpty());
}

TEST(DriftMonitor, WarnsOfStatisticsThatAreNotTheAveragedModels) {
  DriftMonitor monitor(0.3, true);
  EXPECT_THAT(monitor.After(1, 0.5, 0.04), IsEmpty());
  EXPECT_THAT(monitor.After(1, 0.6, 0.06), ElementsAre(HasSubstr("--bn average")));
  EXPECT_THAT(monitor.After(1, 0.7, 0.06), IsEmpty());
}

TEST(DriftMonitor, SaysWhenOnlyTheRanksGetBetter) {
  DriftMonitor monitor(0.3, false);
  monitor.After(1, 0.5, 0.1);
  EXPECT_THAT(monitor.After(0.9, 0.5, 0.1), IsEmpty());
  EXPECT_THAT(monitor.After(0.8, 0.4, 0.1), IsEmpty());
  EXPECT_THAT(monitor.After(0.7, 0.5, 0.1), ElementsAre(HasSubstr("does not get better")));
  // Not where the ranks get no better themselves, or are together.
  DriftMonitor other(0.3, false);
  other.After(1, 0.5, 0.1);
  for (int i = 0; i < 5; ++i) EXPECT_THAT(other.After(0.95, 0.5, 0.1), IsEmpty());
  DriftMonitor together(0.3, false);
  together.After(1, 0.5, 0.01);
  for (int i = 0; i < 5; ++i) EXPECT_THAT(together.After(0.5, 0.5, 0.01), IsEmpty());
}

}  // namespace
}  // namespace orchard::sync
