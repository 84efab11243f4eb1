#include "sync/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/number_format.h"
#include "sync/train_report.h"

namespace orchard::sync {
namespace {

AlgorithmKind KindOf(const std::string& name) {
  std::string names;
  for (const auto& entry : kAlgorithmKindNames) {
    if (name == entry.name) return entry.value;
    names += std::string(names.empty() ? "" : ", ") + entry.name;
  }
  throw UsageError("there is no algorithm '" + name + "'", "sweep.algos", names);
}

// Algorithms that the wanted ratio does not change.
bool IgnoresRatio(AlgorithmKind kind) {
  return kind == AlgorithmKind::kSgd || kind == AlgorithmKind::kSignEf ||
         kind == AlgorithmKind::kInt8Ef || kind == AlgorithmKind::kPowerSgd;
}

bool SameButSeed(const SweepRun& a, const SweepRun& b) {
  return a.options.optim.algo == b.options.optim.algo &&
         a.options.compress.ratio == b.options.compress.ratio &&
         a.options.schedule.lr == b.options.schedule.lr;
}

}  // namespace

std::vector<SweepRun> PlanSweep(const SweepOptions& options, uint64_t seed) {
  std::vector<SweepRun> runs;
  const std::vector<double> rates = options.sweep.rates.empty()
                                        ? std::vector<double>{options.train.schedule.lr}
                                        : options.sweep.rates;
  for (const std::string& name : options.sweep.algos) {
    const AlgorithmKind kind = KindOf(name);
    for (const double ratio : options.sweep.ratios) {
      if (IgnoresRatio(kind) && ratio != options.sweep.ratios.front()) continue;
      for (const double rate : rates) {
        for (int64_t s = 0; s < options.sweep.seeds; ++s) {
          SweepRun run{"", options.train, seed + static_cast<uint64_t>(s)};
          run.options.optim.algo = kind;
          run.options.compress.ratio = IgnoresRatio(kind) ? 1 : ratio;
          run.options.schedule.lr = rate;
          run.name =
              fmt::format("{}-r{:g}-lr{:g}-s{}", name, run.options.compress.ratio, rate, run.seed);
          runs.push_back(std::move(run));
        }
      }
    }
  }
  return runs;
}

std::vector<SweepRow> Summarise(const std::vector<SweepRun>& runs,
                                const std::vector<SweepOutcome>& outcomes) {
  std::vector<SweepRow> rows;
  for (size_t first = 0; first < runs.size();) {
    const SyncTrainOptions& o = runs[first].options;
    SweepRow row{NameOf(o.optim.algo), o.compress.ratio, o.schedule.lr};
    size_t last = first;
    double squares = 0;
    for (; last < runs.size() && SameButSeed(runs[first], runs[last]); ++last) {
      ++row.seeds;
      if (!outcomes[last]) {
        ++row.diverged;
        continue;
      }
      const SyncResult& r = *outcomes[last];
      row.top1 += r.top1;
      squares += r.top1 * r.top1;
      row.best_top1 += r.best_top1;
      row.bytes_sent += static_cast<double>(r.bytes_sent);
      row.drift += r.drift;
      row.ratio = r.ratio;
    }
    first = last;
    const auto done = static_cast<double>(row.seeds - row.diverged);
    if (done > 0) {
      row.top1 /= done;
      row.best_top1 /= done;
      row.bytes_sent /= done;
      row.drift /= done;
      const double variance = squares / done - row.top1 * row.top1;
      row.deviation = done > 1 ? std::sqrt(std::max(0.0, variance) * done / (done - 1)) : 0;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json ToJson(const std::vector<SweepRow>& rows) {
  nlohmann::json json = nlohmann::json::array();
  for (const SweepRow& r : rows) {
    nlohmann::json row = {{"algorithm", r.algorithm}, {"nominal_ratio", r.nominal_ratio},
                          {"lr", r.learning_rate},    {"seeds", r.seeds},
                          {"diverged", r.diverged},   {"top1", r.top1},
                          {"deviation", r.deviation}, {"best_top1", r.best_top1},
                          {"drift", r.drift},         {"bytes_sent", r.bytes_sent}};
    if (r.ratio) row["ratio"] = *r.ratio;
    json.push_back(std::move(row));
  }
  return json;
}

run::Report MakeSweepReport(const std::vector<SweepRun>& runs,
                            const std::vector<SweepOutcome>& outcomes,
                            const std::filesystem::path& directory) {
  run::Report report("Sweep of distributed training", fmt::format("{} runs", runs.size()));
  run::Table table;
  table.caption = "Test accuracy of the averaged model";
  table.columns = {"algorithm", "learning rate", "ratio wanted", "ratio", "accuracy (%)",
                   "+-",        "best (%)",      "diverged",     "drift", "sent by rank 0"};
  for (const SweepRow& r : Summarise(runs, outcomes)) {
    const bool none = r.diverged == r.seeds;
    const auto number = [&](double value, int digits) {
      return none ? run::Cell("") : run::Cell(value, digits);
    };
    table.rows.push_back(
        {r.algorithm, run::Cell(r.learning_rate), run::Cell(r.nominal_ratio),
         r.ratio ? run::Cell(*r.ratio) : run::Cell(""), number(100 * r.top1, 4),
         number(100 * r.deviation, 2), number(100 * r.best_top1, 4),
         fmt::format("{} of {}", r.diverged, r.seeds), number(r.drift, 2),
         none ? run::Cell("")
              : run::Cell::Shown(FormatBytes(static_cast<uint64_t>(r.bytes_sent)), r.bytes_sent)});
  }
  report.AddSection("Results").AddTable(std::move(table));
  std::vector<NamedRun> shown;  // one seed of each
  for (size_t i = 0; i < runs.size(); ++i) {
    if (i > 0 && SameButSeed(runs[i], runs[i - 1])) continue;
    if (!outcomes[i]) continue;
    shown.push_back({runs[i].name, *outcomes[i], directory / runs[i].name / "metrics.jsonl"});
  }
  AddComparison(report, shown);
  return report;
}

}  // namespace orchard::sync
