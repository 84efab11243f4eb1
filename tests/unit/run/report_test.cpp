#include "run/report.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "run/html.h"
#include "run/quantity.h"
#include "run/report_chart.h"

namespace orchard::run {
namespace {

using nlohmann::json;

// Every string of the page's data and text, in all the places where a name from a file can end up.
Report HostileReport(const std::string& text) {
  Report report(text, text);
  report.AddVerdict(Verdict::kFail, text, text).AddFact(text, text).AddSection(text);
  report.AddParagraph(text).AddRaw(text, text);
  report.AddTable({.caption = text, .columns = {text}, .rows = {{Cell(text)}}});
  report.AddChart({.kind = Chart::Kind::kBar,
                   .title = text,
                   .x = {text, text},
                   .y = {text, text},
                   .categories = {text},
                   .series = {{.name = text, .y = {1.0}}},
                   .caption = text});
  report.AddPicture({}, text, text, text);
  return report;
}

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(Report, HostileTextAddsNoMarkup) {
  const std::string harmless = HostileReport("harmless").Html();
  const std::string hostile =
      HostileReport("</script><script>alert(1)</script><!--<img src=x onerror=\"alert('2')\">")
          .Html();
  for (const char* piece : {"<script", "</script", "<img", "<!--", "<", ">"}) {
    EXPECT_EQ(Count(hostile, piece), Count(harmless, piece)) << piece;
  }
  EXPECT_EQ(hostile.find("onerror=\""), std::string::npos);
}

RC_GTEST_PROP(Report, EscapedTextHoldsNoMarkup, (const std::string& text)) {
  const std::string escaped = EscapeHtml(text);
  RC_ASSERT(escaped.find_first_of("<>\"'") == std::string::npos);
  RC_ASSERT(json::accept(
      "\"" +
      (escaped.find('\\') == escaped.npos && escaped.find_first_of("\n\t") == escaped.npos
           ? escaped
           : std::string()) +
      "\""));  // valid UTF-8 without control characters
}

RC_GTEST_PROP(Report, ScriptSafeJsonMeansTheSame, (const std::string& text)) {
  const std::string plain = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  const std::string safe = EscapeJsonForScript(plain);
  RC_ASSERT(json::parse(safe) == json::parse(plain));
  RC_ASSERT(safe.find_first_of("<>&") == std::string::npos);
}

TEST(Report, ScriptSafeJsonEscapesLineSeparators) {
  EXPECT_EQ(EscapeJsonForScript("\"\xE2\x80\xA8</script>\""), "\"\\u2028\\u003c/script\\u003e\"");
}

TEST(Report, Base64OfTheStandardsExamples) {  // RFC 4648, section 10
  const auto encode = [](std::string_view text) { return Base64(std::as_bytes(std::span(text))); };
  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foo"), "Zm9v");
  EXPECT_EQ(encode("foob"), "Zm9vYg==");
  EXPECT_EQ(encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
}

TEST(Quantity, KnowsUnitsAndPrefixes) {
  EXPECT_EQ(ParseQuantity("1,234.5"), 1234.5);
  EXPECT_EQ(ParseQuantity("-3e-4"), -3e-4);
  EXPECT_EQ(ParseQuantity("1.2 GB"), 1.2e9);
  EXPECT_EQ(ParseQuantity("2 MiB"), 2097152);
  EXPECT_EQ(ParseQuantity("22.7 M"), 22.7e6);
  EXPECT_EQ(ParseQuantity("340 ms"), 0.34);
  EXPECT_EQ(ParseQuantity("5 kB/s"), 5000);
  EXPECT_EQ(ParseQuantity("3 min 05 s"), 185);
  EXPECT_EQ(ParseQuantity("12 %"), 12);
  EXPECT_EQ(ParseQuantity("3.5\xC3\x97"), 3.5);
}

TEST(Quantity, LeavesTextAlone) {
  for (const char* text : {"", " ", "GB", "12 layers", "1.2.3", "12-layer", "1 GB 2 GB", "--5",
                           "1,2,3", "32, 64", "0x10", "nan", "e5", "5 Elephants"}) {
    EXPECT_FALSE(ParseQuantity(text)) << text;
  }
}

TEST(Report, NumericColumnsAreMarkedAndSortByValue) {
  Table table{.columns = {"tensor", "size", "max error"},
              .rows = {{"a", "900 MB", 0.1}, {"b", "1.2 GB", Cell("\xE2\x80\x93")}}};
  const std::string html = Report("t").AddTable(table).Html();
  EXPECT_NE(html.find("<th scope=\"row\">a</th><td class=\"n\" data-value=\"9e+08\">900 MB</td>"
                      "<td class=\"n\" data-value=\"0.1\">0.1000</td>"),
            std::string::npos);
  EXPECT_NE(html.find("<th scope=\"col\" aria-sort=\"none\"><button type=\"button\">tensor"),
            std::string::npos);
}

Chart Line(size_t points) {
  Chart chart{.title = "Loss", .x = {"step", ""}, .y = {"loss", "nat", true}};
  Series series{.name = "train"};
  for (size_t i = 0; i < points; ++i) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(std::sin(static_cast<double>(i) / 50));
  }
  chart.series.push_back(series);
  return chart;
}

TEST(ReportChart, DataReadsBack) {
  Chart chart = Line(3);
  chart.series[0].y[1] = std::nan("");
  chart.series[0].low = {-1, -1, -1};
  chart.series[0].high = {1, 1, std::nan("")};
  const json data = json::parse(ChartJson(chart));
  EXPECT_EQ(data["kind"], "line");
  EXPECT_EQ(data["y"], (json{{"label", "loss (nat)"}, {"unit", "nat"}, {"log", true}}));
  EXPECT_EQ(data["series"][0]["x"], (json{0.0, 1.0, 2.0}));
  EXPECT_TRUE(data["series"][0]["y"][1].is_null());
  EXPECT_TRUE(data["series"][0]["high"][2].is_null());
}

TEST(ReportChart, ThinningKeepsPeaksAndEnds) {
  Chart chart = Line(100000);
  chart.series[0].y[54321] = 50;
  chart.series[0].y[54000] = -50;
  const json series = json::parse(ChartJson(chart))["series"][0];
  const auto y = series["y"].get<std::vector<double>>();
  const auto x = series["x"].get<std::vector<double>>();
  EXPECT_LE(y.size(), 1002u);
  EXPECT_EQ(*std::max_element(y.begin(), y.end()), 50);
  EXPECT_EQ(*std::min_element(y.begin(), y.end()), -50);
  EXPECT_EQ(x.front(), 0);
  EXPECT_EQ(x.back(), 99999);
  EXPECT_TRUE(std::is_sorted(x.begin(), x.end()));
}

TEST(ReportChart, ThinningFollowsALogarithmicAxis) {
  Chart chart = Line(100000);
  chart.x.logarithmic = true;
  for (double& x : chart.series[0].x) x += 1;
  const auto x = json::parse(ChartJson(chart))["series"][0]["x"].get<std::vector<double>>();
  EXPECT_LE(x.size(), 1002u);
  // The first decade is a fifth of the axis and has all its ten points.
  EXPECT_EQ(std::count_if(x.begin(), x.end(), [](double at) { return at <= 10; }), 10);
  EXPECT_EQ(x.back(), 100000);
}

TEST(ReportChart, TableHasAColumnPerSeriesWhereTheyShareTheirX) {
  Chart chart = Line(5);
  chart.series.push_back(chart.series[0]);
  chart.series[1].name = "eval";
  EXPECT_EQ(ChartTable(chart).columns,
            (std::vector<std::string>{"step", "train (nat)", "eval (nat)"}));
  EXPECT_EQ(ChartTable(chart).rows.size(), 5u);
  chart.series[1].x[0] = -1;
  EXPECT_EQ(ChartTable(chart).columns, (std::vector<std::string>{"series", "step", "loss (nat)"}));
  EXPECT_EQ(ChartTable(chart).rows.size(), 10u);
  EXPECT_LE(ChartTable(Line(100000), 200).rows.size(), 200u);
}

TEST(ReportChart, SaysWhichBarsStandOnEachOther) {
  Chart chart = {
      .kind = Chart::Kind::kBar, .categories = {"a"}, .series = {{.y = {1}}, {.y = {2}}}};
  EXPECT_FALSE(json::parse(ChartJson(chart)).contains("stacked"));
  chart.stacked = true;
  EXPECT_EQ(json::parse(ChartJson(chart))["stacked"], true);
}

TEST(ReportChart, RefusesLengthsThatDisagree) {
  Chart chart = Line(5);
  chart.series[0].low = {1, 2};
  chart.series[0].high = {1, 2};
  EXPECT_THROW(Report("t").AddChart(chart), Error);
  Chart bars{
      .kind = Chart::Kind::kBar, .categories = {"a", "b"}, .series = {{.name = "s", .y = {1}}}};
  EXPECT_THROW(Report("t").AddChart(bars), Error);
}

TEST(Report, LoadsNothingFromAnywhere) {
  const std::string html = HostileReport("text").Html();
  EXPECT_NE(html.find("Content-Security-Policy\" content=\"default-src 'none'"), std::string::npos);
  for (const std::string attribute : {"href=\"", "src=\""}) {
    EXPECT_GT(Count(html, attribute), 0u) << attribute;
    EXPECT_EQ(Count(html, attribute), Count(html, attribute + "data:")) << attribute;
  }
  for (const char* loader : {"url(", "@import", "fetch(", "importScripts"}) {
    EXPECT_EQ(html.find(loader), std::string::npos) << loader;
  }
  EXPECT_NE(html.find("Chart.js v3.9.1"), std::string::npos);
}

}  // namespace
}  // namespace orchard::run
