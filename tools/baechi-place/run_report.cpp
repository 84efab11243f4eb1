#include "baechi-place/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/number_format.h"

namespace orchard::baechi_place {
namespace {

run::Cell Microseconds(double us) { return run::Cell::Shown(FormatDuration(us * 1e-6), us); }

run::Table DeviceTable(const place::Cluster& cluster, const execute::RunResult& result) {
  run::Table table{.columns = {"Device", "Operators", "Peak", "Limit"}};
  for (size_t d = 0; d < result.peak_bytes.size(); ++d) {
    const place::Device& device = cluster.devices[d];
    const auto bytes = [](int64_t value) {
      return run::Cell::Shown(FormatBytes(static_cast<uint64_t>(value)),
                              static_cast<double>(value));
    };
    table.rows.push_back({device.name, static_cast<int64_t>(result.layout.order[d].size()),
                          bytes(result.peak_bytes[d]),
                          device.memory == INT64_MAX ? run::Cell("none") : bytes(device.memory)});
  }
  return table;
}

// The operators that are furthest from their prediction.
run::Table OperatorTable(const execute::Program& program, const execute::RunResult& result) {
  constexpr size_t kShown = 40;
  run::Table table{.caption = "Operators whose time differs most from the prediction",
                   .columns = {"Operator", "Kind", "Predicted", "Measured", "Difference"}};
  std::vector<int32_t> order;
  for (int32_t i = 0; i < program.size(); ++i) order.push_back(i);
  const auto difference = [&](int32_t i) {
    return result.operator_us[i] - result.prediction.graph.ops[i].us;
  };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::abs(difference(a)) > std::abs(difference(b));
  });
  if (order.size() > kShown) order.resize(kShown);
  for (int32_t i : order) {
    table.rows.push_back({program.operators[i].name, program.operators[i].kind,
                          Microseconds(result.prediction.graph.ops[i].us),
                          Microseconds(result.operator_us[i]), Microseconds(difference(i))});
  }
  return table;
}

void AddCheck(run::Report& report, const std::string& against,
              const std::optional<execute::Difference>& difference, bool passed) {
  if (!difference) return;
  report.AddVerdict(
      passed ? run::Verdict::kPass : run::Verdict::kFail, "Computes what " + against + " computes",
      difference->same_bits ? std::string("bit for bit")
                            : fmt::format("outputs within {:.1e}, gradients within {:.1e}",
                                          difference->outputs, difference->gradients));
}

}  // namespace

run::Report RunReport(const execute::Program& program, const place::Cluster& cluster,
                      const execute::RunResult& result) {
  run::Report report(program.name + " on " + std::to_string(cluster.size()) + " devices",
                     "baechi-place run");
  AddCheck(report, "one device", result.check, result.passed);
  AddCheck(report, "the model as one", result.unsplit, result.passed);
  report.AddFact("Measured step", FormatDuration(result.measured_us * 1e-6));
  report.AddFact("Predicted step", FormatDuration(result.prediction.us() * 1e-6));
  report.AddFact("Prediction off by", fmt::format("{:.1f} %", 100 * result.error()));
  if (result.single_device_us > 0) {
    report.AddFact("One device", FormatDuration(result.single_device_us * 1e-6));
    report.AddFact("Speed-up", fmt::format("{:.2f}", result.speedup()));
  }
  run::Chart chart{.title = "Steps, alternating with steps on one device",
                   .x = {.title = "step"},
                   .y = {.title = "time", .unit = "ms"}};
  const auto add = [&](const char* name, const std::vector<double>& us, double constant) {
    run::Series series{.name = name};
    for (size_t k = 0; k < result.step_us.size(); ++k) {
      series.x.push_back(static_cast<double>(k));
      series.y.push_back((us.empty() ? constant : us[k]) / 1000);
    }
    chart.series.push_back(std::move(series));
  };
  add("placed", result.step_us, 0);
  if (!result.single_us.empty()) add("one device", result.single_us, 0);
  add("predicted", {}, result.prediction.us());
  report.AddSection("Steps").AddChart(chart);
  report.AddSection("Devices").AddTable(DeviceTable(cluster, result));
  report.AddSection("Operators").AddTable(OperatorTable(program, result));
  return report;
}

}  // namespace orchard::baechi_place
