#include "sync/train_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/number_format.h"
#include "io/json_lines.h"

namespace orchard::sync {
namespace {

// One key of metrics.jsonl over another one, where a line has both.
run::Series ReadSeries(const std::filesystem::path& metrics, const char* x, const char* y,
                       std::string name, double unit = 1) {
  run::Series series{.name = std::move(name)};
  io::JsonLinesReader lines(metrics);
  for (nlohmann::json line; lines.Next(line);) {
    if (!line.contains(x) || !line.contains(y) || !line[x].is_number() || !line[y].is_number()) {
      continue;
    }
    series.x.push_back(line[x].get<double>() / unit);
    series.y.push_back(line[y].get<double>());
  }
  return series;
}

run::Chart MakeChart(std::string title, run::Axis x, run::Axis y, std::vector<run::Series> series) {
  run::Chart chart;
  chart.title = std::move(title);
  chart.x = std::move(x);
  chart.y = std::move(y);
  for (run::Series& s : series) {
    if (!s.x.empty()) chart.series.push_back(std::move(s));
  }
  return chart;
}

const run::Axis kAccuracy = {.title = "test accuracy of the averaged model"};

// Where a step's time went, as one stacked bar's numbers.
run::Chart TimeChart(const std::vector<NamedRun>& runs) {
  run::Chart chart;
  chart.kind = run::Chart::Kind::kBar;
  chart.stacked = true;
  chart.title = "Time of a step";
  chart.x.title = "run";
  chart.y = {.title = "time", .unit = "ms"};
  run::Series compute{.name = "forward and backward"}, update{.name = "update kernels"},
      wire{.name = "wire, as far as nothing hides it"}, wait{.name = "waiting for other ranks"};
  for (const NamedRun& r : runs) {
    const double steps = static_cast<double>(std::max<int64_t>(1, r.result.steps));
    chart.categories.push_back(r.name);
    compute.y.push_back(1e3 * r.result.compute_seconds / steps);
    update.y.push_back(1e3 * r.result.update_seconds / steps);
    wire.y.push_back(1e3 * r.result.wire_seconds / steps);
    wait.y.push_back(1e3 * r.result.wait_seconds / steps);
  }
  chart.series = {compute, update, wire, wait};
  return chart;
}

std::string RatioText(const SyncResult& r) {
  return r.ratio ? fmt::format("{:.4g} (asked for: {:g})", *r.ratio, r.nominal_ratio) : "one rank";
}

run::Table TargetTable(const SyncResult& r) {
  run::Table table;
  table.caption = "First evaluation with an accuracy";
  table.columns = {"accuracy", "step", "epoch", "sent by rank 0", "training time (s)"};
  for (const ReachedTarget& t : r.targets) {
    table.rows.push_back({run::Cell(t.accuracy, 3), t.step, run::Cell(t.epoch, 3),
                          run::Cell::Shown(FormatBytes(static_cast<uint64_t>(t.bytes_sent)),
                                           static_cast<double>(t.bytes_sent)),
                          run::Cell(t.seconds, 4)});
  }
  return table;
}

}  // namespace

void AddComparison(run::Report& report, const std::vector<NamedRun>& runs) {
  std::vector<run::Series> by_epoch, by_bytes, by_time, drift;
  for (const NamedRun& r : runs) {
    by_epoch.push_back(ReadSeries(r.metrics, "epoch", "top1", r.name));
    by_bytes.push_back(ReadSeries(r.metrics, "eval_bytes_sent", "top1", r.name, 1e6));
    by_time.push_back(ReadSeries(r.metrics, "eval_train_s", "top1", r.name));
    drift.push_back(ReadSeries(r.metrics, "epoch", "drift", r.name));
  }
  report.AddSection("Accuracy")
      .AddChart(MakeChart("Accuracy against traffic",
                          {.title = "sent by rank 0", .unit = "MB", .logarithmic = true}, kAccuracy,
                          std::move(by_bytes)))
      .AddChart(MakeChart("Accuracy against time",
                          {.title = "training time, evaluation apart", .unit = "s"}, kAccuracy,
                          std::move(by_time)))
      .AddChart(
          MakeChart("Accuracy against epochs", {.title = "epoch"}, kAccuracy, std::move(by_epoch)));
  report.AddSection("Where the time goes").AddChart(TimeChart(runs));
  if (!runs.empty() && runs.front().result.engine == "simulation") {
    report.AddParagraph(
        "Ranks were simulated: they take turns on this machine, so the wire's time holds the "
        "computation of the others and says nothing about a network.");
  }
  report.AddSection("Drift").AddChart(
      MakeChart("Distance of ranks from the averaged model", {.title = "epoch"},
                {.title = "|x - mean| / |mean|"}, std::move(drift)));
}

run::Report MakeTrainReport(const SyncResult& r, const std::filesystem::path& metrics,
                            const std::string& config_toml) {
  run::Report report("Distributed training with " + r.algorithm, r.final.string());
  report.AddFact("Ranks", fmt::format("{} ({})", r.ranks, r.engine));
  report.AddFact("Parameters", FormatCount(static_cast<double>(r.parameters)));
  report.AddFact("Steps", fmt::format("{} ({:.3g} epochs)", FormatInteger(r.steps), r.epochs));
  if (r.bits_per_byte) {
    report.AddFact("Bits per byte", fmt::format("{:.4f}", *r.bits_per_byte));
    report.AddFact("Perplexity", fmt::format("{:.4f}", std::exp(r.test_loss)));
  }
  report.AddFact("Test accuracy", fmt::format("{:.2f} %", 100 * r.top1));
  report.AddFact("Best test accuracy", fmt::format("{:.2f} %", 100 * r.best_top1));
  report.AddFact("Sent by rank 0", FormatBytes(static_cast<uint64_t>(r.bytes_sent)));
  report.AddFact("On Ethernet, estimated",
                 FormatBytes(static_cast<uint64_t>(r.wire_bytes_estimated)));
  report.AddFact("Compression ratio", RatioText(r));
  report.AddFact("Drift", fmt::format("{:.3g}", r.drift));
  if (!r.tuning.empty()) report.AddParagraph("Tuned before training: " + r.tuning + ".");
  AddComparison(report, {{r.algorithm, r, metrics}});
  if (!r.targets.empty()) report.AddSection("Targets").AddTable(TargetTable(r));
  report.AddSection("Training")
      .AddChart(MakeChart("Loss", {.title = "epoch"}, {.title = "loss", .unit = "nat"},
                          {ReadSeries(metrics, "epoch", "loss", "training, at the local models"),
                           ReadSeries(metrics, "epoch", "test_loss", "test, averaged model")}))
      .AddChart(MakeChart("Learning rate", {.title = "epoch"}, {.title = "learning rate"},
                          {ReadSeries(metrics, "epoch", "lr", "learning rate")}));
  if (r.bits_per_byte) {
    report.AddChart(MakeChart("Bits per byte", {.title = "epoch"}, {.title = "bits per byte"},
                              {ReadSeries(metrics, "epoch", "bits_per_byte", "test text")}));
  }
  report.AddRaw("config.toml", config_toml);
  return report;
}

}  // namespace orchard::sync
