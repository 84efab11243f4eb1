#include "run/experiment_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"

namespace orchard::run {
namespace {

using Json = nlohmann::ordered_json;

Json MeasurementJson(const Measurement& m) {
  Json json = {{"name", m.name},           {"value", m.value.mean}, {"low", m.value.low},
               {"high", m.value.high},     {"runs", m.value.runs},  {"unit", m.unit},
               {"verdict", Name(Judge(m))}};
  if (m.expected) {
    json["expected"] = Text(*m.expected);
    json["promised"] = m.expected->promised;
  }
  return json;
}

Table MeasurementTable(const std::vector<Measurement>& measurements) {
  Table table;
  table.columns = {"Measured", "Value", "95 % from", "95 % to", "Runs", "Expected", "Verdict"};
  for (const Measurement& m : measurements) {
    const auto number = [](double value) { return Cell::Shown(Text(Single(value)), value); };
    const bool interval = m.value.runs > 1;
    table.rows.push_back({m.unit.empty() ? m.name : fmt::format("{} ({})", m.name, m.unit),
                          number(m.value.mean), interval ? number(m.value.low) : Cell(""),
                          interval ? number(m.value.high) : Cell(""), m.value.runs,
                          m.expected ? Text(*m.expected) : "",
                          m.expected ? Cell(Judge(m), Name(Judge(m))) : Cell("")});
  }
  return table;
}

}  // namespace

const char* Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "passed";
    case Verdict::kFail:
      return "failed";
    default:
      return "as it came out";
  }
}

Json ExperimentsJson(const std::vector<ExperimentResult>& results) {
  Json list = Json::array();
  for (const ExperimentResult& r : results) {
    Json measurements = Json::array();
    for (const Measurement& m : r.measurements) measurements.push_back(MeasurementJson(m));
    list.push_back({{"name", r.name},
                    {"title", r.title},
                    {"claim", r.claim},
                    {"verdict", Name(r.verdict())},
                    {"measurements", measurements},
                    {"notes", r.notes},
                    {"seconds", r.seconds}});
  }
  return {{"experiments", list}};
}

std::string ExperimentText(const ExperimentResult& r) {
  std::string text = fmt::format("{} {}: {} ({})\n", r.name, r.title, Name(r.verdict()),
                                 FormatDuration(r.seconds));
  for (const Measurement& m : r.measurements) {
    text += fmt::format("  {:<62} {:>10}  {}\n", m.name, Text(m.value),
                        m.expected ? fmt::format("{}: {}", Text(*m.expected), Name(Judge(m))) : "");
  }
  return text;
}

Report ExperimentPage(const std::string& title, const std::string& program,
                      const std::vector<ExperimentResult>& results,
                      const std::string& config_toml) {
  Report report(title, program);
  for (const ExperimentResult& r : results) {
    report.AddVerdict(r.verdict(), r.name + " " + r.title,
                      fmt::format("{}, {}", Name(r.verdict()), FormatDuration(r.seconds)));
  }
  for (const ExperimentResult& r : results) {
    report.AddSection(r.name + ": " + r.title).AddParagraph(r.claim);
    if (!r.measurements.empty()) report.AddTable(MeasurementTable(r.measurements));
    for (const Chart& chart : r.charts) report.AddChart(chart);
    for (const Table& table : r.tables) report.AddTable(table);
    for (const std::string& note : r.notes) report.AddParagraph(note);
  }
  report.AddRaw("config.toml", config_toml);
  return report;
}

}  // namespace orchard::run
