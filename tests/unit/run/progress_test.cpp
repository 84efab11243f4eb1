#include "run/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace orchard::run {
namespace {

// A terminal and a clock of the test's own.
struct Fake {
  double now = 100;
  std::string text;
  ProgressOptions Options(bool terminal) {
    ProgressOptions options;
    options.terminal = terminal;
    options.columns = 80;
    options.clock = [this] { return now; };
    options.show = [this](std::string_view line) { text += "[" + std::string(line) + "]"; };
    options.print = [this](std::string_view line) { text += std::string(line) + "\n"; };
    return options;
  }
};

TEST(Progress, PlainLineEveryThirtySeconds) {
  Fake fake;
  Progress progress("train", 1000, "steps", fake.Options(false));
  for (int second = 1; second <= 61; ++second) {
    fake.now = 100 + second;
    progress.Advance(10);
  }
  EXPECT_EQ(fake.text,
            "train  300/1,000 steps  30 %  10.0 steps/s  1 min 10 s left\n"
            "train  600/1,000 steps  60 %  10.0 steps/s  40.0 s left\n");
}

TEST(Progress, TerminalRedrawsOneLine) {
  Fake fake;
  Progress progress("expand", 4000000000, "B", fake.Options(true));
  fake.now += 1;
  progress.Advance(1000000000);
  EXPECT_EQ(fake.text, "[expand  1.00 GB/4.00 GB  25 %  1.00 GB/s  3.00 s left]");
}

TEST(Progress, RedrawsAtMostTenTimesASecond) {
  Fake fake;
  Progress progress("work", 0, "items", fake.Options(true));
  int draws = 0;
  for (int i = 0; i < 1000; ++i) {  // one second, a millisecond per item
    fake.now += 1e-3;
    progress.Advance();
    draws += !fake.text.empty();
    fake.text.clear();
  }
  EXPECT_GE(draws, 8);
  EXPECT_LE(draws, 10);
}

TEST(Progress, CountsOnlyItsOwnItemsForTheRateAfterAResume) {
  Fake fake;
  ProgressOptions options = fake.Options(false);
  options.start = 900;
  Progress progress("train", 1000, "steps", options);
  fake.now += 30;
  progress.Advance(30);
  EXPECT_EQ(fake.text, "train  930/1,000 steps  93 %  1.00 steps/s  1 min 10 s left\n");
}

TEST(Progress, NeverWiderThanTheTerminal) {
  Fake fake;
  ProgressOptions options = fake.Options(true);
  options.columns = 20;
  Progress progress("a task with a long name", 10, "items", options);
  fake.now += 1;
  progress.Advance();
  EXPECT_EQ(fake.text, "[a task with a long ]");
}

TEST(Progress, DisabledIsSilent) {
  Fake fake;
  {
    ProgressOptions options = fake.Options(true);
    options.enabled = false;
    Progress progress("work", 10, "items", options);
    fake.now += 60;
    progress.Advance(10);
    progress.Finish();
  }
  EXPECT_EQ(fake.text, "");
}

TEST(Progress, FinishLeavesOneLastLine) {
  Fake fake;
  Progress progress("train", 10, "steps", fake.Options(true));
  fake.now += 4;
  progress.Advance(10);
  progress.Note("loss 2.31");
  fake.text.clear();
  progress.Finish();
  progress.Finish();
  EXPECT_EQ(fake.text, "[]train  10 steps in 4.00 s  loss 2.31\n");
}

TEST(Progress, CountsEveryThreadsItems) {
  Fake fake;
  fake.now = 0;
  Progress progress("work", 40000, "items", fake.Options(false));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) progress.Advance();
    });
  }
  for (std::thread& thread : threads) thread.join();
  progress.Finish();
  EXPECT_EQ(fake.text, "work  40,000 items in 0 s\n");
}

}  // namespace
}  // namespace orchard::run
