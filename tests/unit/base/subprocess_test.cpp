#include "base/subprocess.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace orchard {

TEST(RunProcess, GivesWhatWasPrintedAndTheExitCode) {
  const ProcessOutcome outcome = RunProcess({"sh", "-c", "echo out; echo error >&2; exit 3"});
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.error, "error\n");
  EXPECT_EQ(outcome.exit_code, 3);
}

TEST(RunProcess, PassesArgumentsAsTheyAre) {
  EXPECT_EQ(RunProcess({"printf", "%s", "a b;$HOME 'c'"}).out, "a b;$HOME 'c'");
}

TEST(RunProcess, TakesMoreThanAPipeHolds) {
  EXPECT_EQ(RunProcess({"sh", "-c", "head -c 1000000 /dev/zero"}).out.size(), 1'000'000u);
}

TEST(RunProcess, TellsSignalsFromExitCodes) {
  EXPECT_EQ(RunProcess({"sh", "-c", "kill -TERM $$"}).exit_code, 128 + 15);
}

TEST(RunProcess, RefusesWhatIsNotThere) {
  EXPECT_THROW(RunProcess({"/nonexistent/program"}), ResourceError);
}

}  // namespace orchard
