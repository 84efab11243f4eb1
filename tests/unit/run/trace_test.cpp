#include "run/trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <vector>

#include "unit/scratch_dir.h"

namespace orchard::run {
namespace {

using nlohmann::json;
using testing::ReadText;
using testing::ScratchDir;

TEST(Trace, OffWritesNothing) {
  Trace trace;
  EXPECT_FALSE(trace.on());
  { const auto span = trace.Span("work"); }
  trace.Counter("bytes", 1);
  trace.NameThread("main");
  trace.Finish();
}

TEST(Trace, SpansNestInTime) {
  ScratchDir scratch;
  Trace trace(scratch / "trace.json");
  {
    const auto outer = trace.Span("outer \"quoted\"", "io");
    const auto inner = trace.Span("inner");
  }
  trace.Finish();
  const json events = json::parse(ReadText(scratch / "trace.json"));
  ASSERT_EQ(events.size(), 2u);
  const json &inner = events[0], &outer = events[1];  // the inner one ends first
  EXPECT_EQ(outer["name"], "outer \"quoted\"");
  EXPECT_EQ(outer["cat"], "io");
  EXPECT_EQ(outer["ph"], "X");
  EXPECT_LE(outer["ts"].get<double>(), inner["ts"].get<double>());
  // Times are rounded to a nanosecond, three decimals of a microsecond.
  EXPECT_GE(outer["ts"].get<double>() + outer["dur"].get<double>() + 2e-3,
            inner["ts"].get<double>() + inner["dur"].get<double>());
}

TEST(Trace, CountersCarryTheirValue) {
  ScratchDir scratch;
  Trace trace(scratch / "trace.json");
  trace.Counter("memory", 0.1);
  trace.Counter("memory", std::nan(""));
  trace.Finish();
  const json events = json::parse(ReadText(scratch / "trace.json"));
  EXPECT_EQ(events[0]["ph"], "C");
  EXPECT_EQ(events[0]["args"]["value"].get<double>(), 0.1);
  EXPECT_TRUE(events[1]["args"]["value"].is_null());
}

TEST(Trace, LosesNoEventOfAnyThread) {
  constexpr int kThreads = 4, kSpans = 2000;
  ScratchDir scratch;
  Trace trace(scratch / "trace.json");
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&trace, t] {
      trace.NameThread("worker " + std::to_string(t));
      for (int i = 0; i < kSpans; ++i) const auto span = trace.Span("task");
    });
  }
  for (std::thread& thread : threads) thread.join();
  trace.Finish();
  std::map<int64_t, int> spans;
  std::set<std::string> names;
  for (const json& event : json::parse(ReadText(scratch / "trace.json"))) {
    if (event["ph"] == "X") ++spans[event["tid"].get<int64_t>()];
    if (event["ph"] == "M") names.insert(event["args"]["name"].get<std::string>());
  }
  ASSERT_EQ(spans.size(), static_cast<size_t>(kThreads));
  for (const auto& [thread, count] : spans) EXPECT_EQ(count, kSpans) << "thread " << thread;
  EXPECT_EQ(names, (std::set<std::string>{"worker 0", "worker 1", "worker 2", "worker 3"}));
}

TEST(Trace, AnEmptyOneIsAnEmptyArray) {
  ScratchDir scratch;
  { Trace trace(scratch / "trace.json"); }
  EXPECT_EQ(json::parse(ReadText(scratch / "trace.json")), json::array());
}

}  // namespace
}  // namespace orchard::run
