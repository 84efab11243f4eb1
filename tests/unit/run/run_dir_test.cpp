#include "run/run_dir.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "run/report.h"
#include "unit/scratch_dir.h"

namespace orchard::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ReadText;
using testing::ScratchDir;
using testing::WriteText;

RunInfo Info() {
  return {.program = "lemon-expand",
          .command = "train",
          .arguments = {"lemon-expand", "train", "--steps", "10"},
          .config_toml = "[common]\nthreads = 2\n\n[train]\nsteps = 10\n"};
}

json SummaryOf(const fs::path& run) { return json::parse(ReadText(run / "summary.json")); }

// What a call throws, as text; "" when nothing.
template <class E, class F>
std::string MessageOf(F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

TEST(RunDir, SummaryReadsBack) {
  ScratchDir scratch;
  {
    RunDir run(scratch / "run", Info(), Existing::kRefuse);
    EXPECT_EQ(SummaryOf(run.path())["exit"]["state"], "running");
    run.Record([] { return json{{"loss", 1.25}}; });
  }
  const json summary = SummaryOf(scratch / "run");
  EXPECT_EQ(summary["program"], "lemon-expand");
  EXPECT_EQ(summary["command"], "train");
  EXPECT_EQ(summary["arguments"], (json{"lemon-expand", "train", "--steps", "10"}));
  EXPECT_EQ(summary["exit"], (json{{"state", "done"}, {"code", 0}, {"message", ""}}));
  EXPECT_EQ(summary["result"], (json{{"loss", 1.25}}));
  EXPECT_EQ(summary["attempts"], 1);
  EXPECT_GE(summary["seconds"].get<double>(), 0);
  EXPECT_GE(summary["host"]["cores"].get<int>(), 1);
  for (const char* name : {"orchard", "revision", "libtorch", "cuda", "mpi", "hdf5", "opencv"}) {
    EXPECT_TRUE(summary["versions"][name].is_string()) << name;
  }
  EXPECT_EQ(ReadText(scratch / "run/config.toml"), Info().config_toml);
}

TEST(RunDir, ErrorsAreRecordedAndPassOn) {
  ScratchDir scratch;
  RunDir run(scratch / "run", Info(), Existing::kRefuse);
  EXPECT_THROW(run.Record([]() -> json { throw DivergedError("loss is nan", "step 7"); }),
               DivergedError);
  EXPECT_EQ(SummaryOf(run.path())["exit"],
            (json{{"state", "failed"}, {"code", 5}, {"message", "loss is nan: step 7"}}));
}

TEST(RunDir, ARunThatIsDroppedCountsAsFailed) {
  ScratchDir scratch;
  { RunDir run(scratch / "run", Info(), Existing::kRefuse); }
  EXPECT_EQ(SummaryOf(scratch / "run")["exit"]["state"], "failed");
}

TEST(RunDir, TakesAnEmptyDirectoryAndRefusesARun) {
  ScratchDir scratch;
  { RunDir run(scratch.path(), Info(), Existing::kRefuse); }
  const std::string message =
      MessageOf<UsageError>([&] { RunDir run(scratch.path(), Info(), Existing::kRefuse); });
  EXPECT_NE(message.find("--resume"), std::string::npos) << message;
}

TEST(RunDir, ACorrectedCommandTakesThePlaceOfOneWithAMistake) {
  ScratchDir scratch;
  const auto end_with = [&](const auto& error, bool after_work) {
    RunDir run(scratch / "run", Info(), Existing::kRefuse);
    EXPECT_ANY_THROW(run.Record([&]() -> json {
      if (after_work) run.metrics().Write(1, {{"loss", 1.0}});
      throw error;
    }));
  };
  end_with(UsageError("the warm-up does not fit", ""), false);
  end_with(UsageError("the warm-up does not fit", ""), true);
  EXPECT_THROW(RunDir(scratch / "run", Info(), Existing::kRefuse), UsageError);
  fs::remove_all(scratch / "run");
  end_with(DataError("the file is not there", "a"), false);
  end_with(ResourceError("the disk is full", "a"), false);
  EXPECT_THROW(RunDir(scratch / "run", Info(), Existing::kRefuse), UsageError);
}

TEST(RunDir, NeverTouchesADirectoryThatIsNotARun) {
  ScratchDir scratch;
  WriteText(scratch / "thesis.tex", "years of work");
  for (const Existing existing : {Existing::kRefuse, Existing::kReplace, Existing::kResume}) {
    EXPECT_THROW(RunDir(scratch.path(), Info(), existing), UsageError);
  }
  WriteText(scratch / "summary.json", "{\"words\": 80000}");
  EXPECT_THROW(RunDir(scratch.path(), Info(), Existing::kReplace), DataError);
  EXPECT_EQ(ReadText(scratch / "summary.json"), "{\"words\": 80000}");
  EXPECT_EQ(ReadText(scratch / "thesis.tex"), "years of work");
}

TEST(RunDir, ForceStartsOverAndLeavesForeignFiles) {
  ScratchDir scratch;
  const CheckpointWriter nothing = [](const fs::path&) { return json(); };
  {
    RunDir run(scratch / "run", Info(), Existing::kRefuse);
    run.metrics().Write(1, {{"loss", 1.0}});
    run.SaveCheckpoint(1, nothing);
    run.WriteReport(Report("old"));
    WriteText(run.path() / "notes.txt", "mine");
  }
  RunDir run(scratch / "run", Info(), Existing::kReplace);
  EXPECT_FALSE(run.resumed_from());
  EXPECT_FALSE(fs::exists(run.path() / "metrics.jsonl"));
  EXPECT_FALSE(fs::exists(run.path() / "report.html"));
  EXPECT_FALSE(fs::exists(run.path() / "checkpoints"));
  EXPECT_TRUE(fs::exists(run.path() / "notes.txt"));
}

TEST(RunDir, OneProcessAtATime) {
  ScratchDir scratch;
  RunDir run(scratch / "run", Info(), Existing::kRefuse);
  const std::string message =
      MessageOf<UsageError>([&] { RunDir second(scratch / "run", Info(), Existing::kResume); });
  EXPECT_NE(message.find("another process"), std::string::npos) << message;
}

TEST(RunDir, ResumeNeedsTheSameConfiguration) {
  ScratchDir scratch;
  { RunDir run(scratch / "run", Info(), Existing::kRefuse); }
  RunInfo other_threads = Info();
  other_threads.config_toml = "[common]\nthreads = 64\n[train]\n# a remark\nsteps = 10\n";
  EXPECT_NO_THROW(RunDir(scratch / "run", other_threads, Existing::kResume));
  RunInfo other_steps = Info();
  other_steps.config_toml = "[common]\nthreads = 2\n[train]\nsteps = 11\n";
  const std::string message =
      MessageOf<UsageError>([&] { RunDir run(scratch / "run", other_steps, Existing::kResume); });
  EXPECT_NE(message.find("`steps = 10`, now `steps = 11`"), std::string::npos) << message;
  RunInfo other_command = Info();
  other_command.command = "eval";
  EXPECT_THROW(RunDir(scratch / "run", other_command, Existing::kResume), UsageError);
}

TEST(RunDir, ResumeOfNothingStartsAnew) {
  ScratchDir scratch;
  fs::create_directory(scratch / "run");
  WriteText(scratch / "run/summary.json.partial", "{");  // killed while it made the directory
  { EXPECT_FALSE(RunDir(scratch / "run", Info(), Existing::kResume).resumed_from()); }
  fs::remove(scratch / "run/config.toml");  // killed a moment later
  { EXPECT_FALSE(RunDir(scratch / "run", Info(), Existing::kResume).resumed_from()); }
  EXPECT_EQ(ReadText(scratch / "run/config.toml"), Info().config_toml);
}

TEST(RunDir, NeverOverwritesAConfigurationOfTheUser) {
  ScratchDir scratch;
  WriteText(scratch / "config.toml", "# mine\n");
  EXPECT_THROW(RunDir(scratch.path(), Info(), Existing::kResume), UsageError);
  EXPECT_EQ(ReadText(scratch / "config.toml"), "# mine\n");
}

TEST(RunDir, CheckpointsWhenDue) {
  ScratchDir scratch;
  RunInfo info = Info();
  info.checkpoint_every = 3;
  info.keep_checkpoints = 10;
  RunDir run(scratch / "run", info, Existing::kRefuse);
  const CheckpointWriter nothing = [](const fs::path&) { return json(); };
  for (int64_t step = 1; step <= 7; ++step) run.StepDone(step, nothing, false);
  std::vector<int64_t> steps;
  for (const CheckpointInfo& checkpoint : run.checkpoints().List())
    steps.push_back(checkpoint.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{3, 6}));
}

// A little training loop: x -> 1.5 x + step, the way programs write theirs.
void Train(const fs::path& path, int64_t steps, Existing existing, int64_t signal_at = -1) {
  RunDir run(path, Info(), existing);
  const StopSignals signals;
  double x = 1;
  int64_t step = 0;
  if (run.resumed_from()) {
    step = run.resumed_from()->step;
    x = CheckpointStore::ReadState(*run.resumed_from())["x"];
  }
  run.Record([&] {
    while (step < steps) {
      ++step;
      x = x * 1.5 + static_cast<double>(step) / 3;
      if (step == signal_at) ::raise(step % 2 == 0 ? SIGTERM : SIGUSR1);
      run.metrics().Write(step, {{"x", x}});
      run.StepDone(step, [&](const fs::path&) { return json{{"x", x}}; });
    }
    return json{{"x", x}};
  });
}

TEST(RunDir, ASignalledRunResumesToTheSameResult) {
  ScratchDir scratch;
  Train(scratch / "whole", 40, Existing::kRefuse);
  const auto expect_stop = [&](Existing existing, int64_t at) {
    try {
      Train(scratch / "stopped", 40, existing, at);
      ADD_FAILURE() << "not stopped";
    } catch (const InterruptedError& error) {
      EXPECT_EQ(static_cast<int>(error.code()), 75);
    }
    ClearStopRequest();
  };
  expect_stop(Existing::kRefuse, 12);  // SIGTERM
  EXPECT_EQ(SummaryOf(scratch / "stopped")["exit"]["state"], "interrupted");
  EXPECT_EQ(SummaryOf(scratch / "stopped")["exit"]["code"], 75);
  expect_stop(Existing::kResume, 27);  // SIGUSR1
  Train(scratch / "stopped", 40, Existing::kResume);
  EXPECT_EQ(ReadText(scratch / "stopped/metrics.jsonl"), ReadText(scratch / "whole/metrics.jsonl"));
  const json whole = SummaryOf(scratch / "whole"), stopped = SummaryOf(scratch / "stopped");
  EXPECT_EQ(stopped["result"], whole["result"]);
  EXPECT_EQ(stopped["attempts"], 3);
  EXPECT_EQ(stopped["exit"]["state"], "done");
}

TEST(RunDir, ReportAndTraceLieBesideTheSummary) {
  ScratchDir scratch;
  RunInfo info = Info();
  info.trace = true;
  RunDir run(scratch / "run", info, Existing::kRefuse);
  run.Record([&] {
    const auto span = run.trace().Span("work");
    run.WriteReport(Report("Title"));
    return json();
  });
  EXPECT_NE(ReadText(run.path() / "report.html").find("<h1>Title</h1>"), std::string::npos);
  const json events = json::parse(ReadText(run.path() / "trace.json"));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["name"], "work");
}

}  // namespace
}  // namespace orchard::run
