// Which experiments a user's list means.
#include "expand/repro/experiments.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace orchard::expand::repro {

TEST(FindExperiments, LeavesOutOfAllWhatHasNoModel) {
  ReproOptions options;
  options.experiments = {"all"};
  for (const ExperimentInfo* info : FindExperiments(options)) EXPECT_NE(info->name, "R5");
  options.model = "somewhere";
  EXPECT_EQ(FindExperiments(options).size(), Experiments().size());
}

TEST(FindExperiments, RefusesNamesItDoesNotKnow) {
  ReproOptions options;
  options.experiments = {"R1", "R9"};
  EXPECT_THROW(FindExperiments(options), UsageError);
}

}  // namespace orchard::expand::repro
