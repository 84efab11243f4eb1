#include "base/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace orchard {
namespace {

// Runs `body` in a process of its own and returns its wait status.
template <class F>
int StatusOf(F&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(42);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

class StopBySignal : public ::testing::TestWithParam<int> {};

TEST_P(StopBySignal, SetsTheFlagAndNothingElse) {
  const int status = StatusOf([] {
    const StopSignals signals;
    if (StopRequested()) ::_exit(1);
    ::raise(GetParam());
    ::_exit(StopRequested() && StopSignal() == GetParam() ? 42 : 2);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_P(StopBySignal, EndsTheProcessOutsideItsScope) {
  const int status = StatusOf([] {
    { const StopSignals signals; }
    ::raise(GetParam());
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Signals, StopBySignal, ::testing::Values(SIGTERM, SIGUSR1, SIGINT));

TEST(StopSignals, TheSecondCtrlCKills) {
  const int status = StatusOf([] {
    const StopSignals signals;
    ::raise(SIGINT);
    if (!StopRequested()) ::_exit(1);
    ::raise(SIGINT);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST(StopSignals, RemembersTheFirstSignal) {
  const int status = StatusOf([] {
    const StopSignals signals;
    ::raise(SIGUSR1);
    ::raise(SIGTERM);
    ::_exit(StopSignal() == SIGUSR1 ? 42 : 1);
  });
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

}  // namespace
}  // namespace orchard
