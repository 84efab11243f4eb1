#include "run/timeline.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

namespace orchard::run {
namespace {

// As Perfetto's importer reads a time.
int64_t Imported(const nlohmann::json& number) {
  if (number.is_number_integer()) return number.get<int64_t>() * 1000;
  return static_cast<int64_t>(number.get<double>() * 1000.0);
}

}  // namespace

RC_GTEST_PROP(TraceMicroseconds, AreTheNanosecondOnceTruncated, ()) {
  const int64_t ns = *rc::gen::inRange<int64_t>(0, int64_t{1} << *rc::gen::inRange(1, 53));
  RC_ASSERT(Imported(nlohmann::json::parse(TraceMicroseconds(ns))) == ns);
}

TEST(TraceMicroseconds, AreShortWhereThatIsExact) {
  EXPECT_EQ(TraceMicroseconds(0), "0");
  EXPECT_EQ(TraceMicroseconds(17000), "17");
  EXPECT_EQ(TraceMicroseconds(1500), "1.5");
  ASSERT_EQ(static_cast<int64_t>(1.001 * 1000.0), 1000);  // a nanosecond early
  EXPECT_EQ(TraceMicroseconds(1001), "1.0010000000000001");
}

TEST(Timeline, HasWhatPerfettoNeeds) {
  Timeline timeline;
  const int first = timeline.AddProcess("gpu \"0\"");
  const int second = timeline.AddProcess("gpu1");
  const int compute = timeline.AddThread(first, "compute");
  const int other = timeline.AddThread(second, "compute");
  timeline.Slice(compute, "a", {0, 1001}, "forward", R"({"bytes":4})");
  timeline.Slice(other, "b", {1001, 2003});
  timeline.Arrow(compute, {0, 1001}, other, {1001, 2003});
  timeline.Counter(second, "bytes", "used", 1001, int64_t{1} << 40);

  const auto events = nlohmann::json::parse(timeline.Text())["traceEvents"];
  std::map<std::string, std::vector<nlohmann::json>> of;
  for (const auto& event : events) of[event["ph"]].push_back(event);
  EXPECT_EQ(of["M"][0]["args"]["name"], "gpu \"0\"");
  EXPECT_EQ(of["M"][2]["tid"], compute);
  EXPECT_GT(first, 0);
  EXPECT_GT(compute, 0);
  EXPECT_NE(compute, other);  // though in different processes
  EXPECT_EQ(of["X"][0]["cat"], "forward");
  EXPECT_EQ(of["X"][0]["args"]["bytes"], 4);
  EXPECT_EQ(Imported(of["X"][0]["ts"]) + Imported(of["X"][0]["dur"]), Imported(of["X"][1]["ts"]));
  EXPECT_EQ(of["X"][1]["pid"], second);
  EXPECT_EQ(of["s"][0]["id"], of["f"][0]["id"]);
  EXPECT_EQ(of["s"][0]["ts"], 0);
  EXPECT_EQ(Imported(of["f"][0]["ts"]), 1502);
  EXPECT_EQ(of["f"][0]["bp"], "e");
  EXPECT_EQ(of["C"][0]["args"]["used"], int64_t{1} << 40);
}

TEST(Timeline, SlicesWithoutLengthHaveNoArrows) {
  Timeline timeline;
  const int thread = timeline.AddThread(timeline.AddProcess("p"), "t");
  timeline.Arrow(thread, {5, 5}, thread, {5, 9});
  EXPECT_EQ(timeline.Text().find("\"ph\":\"s\""), std::string::npos);
}

TEST(TimelineRows, WhatOverlapsIsOnRowsOfItsOwn) {
  Timeline timeline;
  TimelineRows rows(timeline, timeline.AddProcess("p"), "send");
  const int first = rows.Take({0, 10});
  const int second = rows.Take({5, 20});
  EXPECT_NE(first, second);
  EXPECT_EQ(rows.Take({10, 12}), first);
  EXPECT_EQ(rows.Take({12, 30}), first);
  EXPECT_EQ(rows.Take({20, 30}), second);
  EXPECT_NE(timeline.Text().find("\"send 2\""), std::string::npos);
}

}  // namespace orchard::run
