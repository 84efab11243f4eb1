#include <fmt/format.h>

#include <algorithm>

#include "place/paper/placed.h"

namespace orchard::place::paper {
namespace {

struct Row {
  const char* label;
  Algorithm algorithm;
  Grouping grouping = Grouping::kTf;
  bool fuse = true;
  double theta = -1;
  double parallel_ms = 0, half_ms = 0;  // the authors' code on their profile, rerun; 0: not run
};

// Fused operators numbered anew; docs/methods/baechi-place.md says what that changes.
constexpr Row kRows[] = {
    {"one device", Algorithm::kSingle, Grouping::kTf, true, -1, 116.76, 116.76},
    {"expert", Algorithm::kExpert, Grouping::kTf, true, -1, 90.12, 133.71},
    {"m-TOPO, tf, fused", Algorithm::kMTopo, Grouping::kTf, true, -1, 118.125, 257.162},
    {"m-TOPO, coplace, fused", Algorithm::kMTopo, Grouping::kCoplace, true, -1, 116.663, 182.356},
    {"m-ETF, tf", Algorithm::kMEtf, Grouping::kTf, false, -1, 0, 295.81},
    {"m-ETF, tf, fused", Algorithm::kMEtf, Grouping::kTf, true, -1, 105.027, 184.997},
    {"m-ETF, coplace", Algorithm::kMEtf, Grouping::kCoplace, false, -1, 0, 293.28},
    {"m-ETF, coplace, fused", Algorithm::kMEtf, Grouping::kCoplace, true, -1, 92.807, 146.991},
    {"m-SCT 0.1, coplace, fused", Algorithm::kMSct, Grouping::kCoplace, true, 0.1, 83.305, 146.81},
    {"m-SCT 0.5, coplace, fused", Algorithm::kMSct, Grouping::kCoplace, true, 0.5, 82.776, 145.84},
    {"HEFT, tf, fused", Algorithm::kHeft, Grouping::kTf, true},
    {"HEFT, coplace, fused", Algorithm::kHeft, Grouping::kCoplace, true},
    {"HEFT with lookahead, tf, fused", Algorithm::kHeftLookahead, Grouping::kTf, true},
    {"round-robin", Algorithm::kRoundRobin},
    {"random", Algorithm::kRandom},
};
constexpr const char* kAuto = "auto, refined";

std::string CaseName(const char* label, Comm comm, bool published) {
  return fmt::format("E1/{}/{}/{}", label, Name(comm), published ? "published" : "own");
}

bool Applies(const Setting& setting, const Row& row) {
  if (row.algorithm != Algorithm::kExpert) return true;
  const auto& ops = setting.gnmt.graph.ops;
  return std::any_of(ops.begin(), ops.end(), [](const Op& op) { return op.expert >= 0; });
}

double Makespan(const Results& results, const char* label, Comm comm, bool published) {
  return results.At(CaseName(label, comm, published), published ? "published_us" : "makespan_us");
}

run::Measurement Ratio(const std::string& name, double value, double limit, bool promised) {
  return {name, "", run::Single(value), run::Expectation{run::Relation::kAtMost, limit, promised}};
}

run::Table MakespanTable(const Setting& setting, const Results& results) {
  run::Table table{
      .caption =
          "Makespan in ms; \"their code\" is what the authors' program gave for their profile",
      .columns = {"Placement", "Published simulator, parallel", "their code",
                  "Published simulator, half", "their code", "Event simulator, parallel",
                  "Event simulator, half", "Planned in (ms)"}};
  for (const Row& row : kRows) {
    if (!Applies(setting, row)) continue;
    const auto theirs = [&](double ms) {
      return ms > 0 && setting.gnmt_is_published ? run::Cell(ms, 6) : run::Cell("");
    };
    table.rows.push_back(
        {row.label, Milliseconds(Makespan(results, row.label, Comm::kParallel, true)),
         theirs(row.parallel_ms), Milliseconds(Makespan(results, row.label, Comm::kHalf, true)),
         theirs(row.half_ms), Milliseconds(Makespan(results, row.label, Comm::kParallel, false)),
         Milliseconds(Makespan(results, row.label, Comm::kHalf, false)),
         run::Cell(1000 * results.At(CaseName(row.label, Comm::kParallel, true), "plan_seconds"),
                   3)});
  }
  table.rows.push_back({kAuto, "", "", "", "",
                        Milliseconds(Makespan(results, kAuto, Comm::kParallel, false)),
                        Milliseconds(Makespan(results, kAuto, Comm::kHalf, false)), ""});
  return table;
}

run::Chart Bars(const Setting& setting, const Results& results, Comm comm) {
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = fmt::format("Event simulator, {} links", Name(comm)),
                   .y = {.title = "makespan", .unit = "ms"}};
  run::Series series{.name = "makespan"};
  const auto add = [&](const char* label) {
    chart.categories.emplace_back(label);
    series.y.push_back(Makespan(results, label, comm, false) / 1000);
  };
  for (const Row& row : kRows) {
    // Placements that ignore costs would hide the others.
    const bool blind =
        row.algorithm == Algorithm::kRandom || row.algorithm == Algorithm::kRoundRobin;
    if (Applies(setting, row) && !blind) add(row.label);
  }
  add(kAuto);
  chart.series = {series};
  return chart;
}

}  // namespace

std::vector<Case> PublishedTableCases(const Setting& setting) {
  std::vector<Case> cases;
  const Graph& graph = setting.gnmt.graph;
  for (const Comm comm : {Comm::kParallel, Comm::kHalf}) {
    for (const Row& row : kRows) {
      if (!Applies(setting, row)) continue;
      for (const bool published : {true, false}) {
        cases.push_back(
            {CaseName(row.label, comm, published), [&graph, &setting, comm, row, published] {
               PlaceOptions options = OneAlgorithm(row.algorithm, row.grouping, row.fuse);
               if (row.theta >= 0) options.sct_theta = row.theta;
               if (published) {
                 options.compat = Compat::kTf;
                 options.memory_model = MemoryModel::kPlain;
               }
               return PlaceCase(graph, PublishedCluster(4, comm), options, setting.seed);
             }});
      }
    }
    cases.push_back({CaseName(kAuto, comm, false), [&graph, &setting, comm] {
                       PlaceOptions options;
                       options.refine_steps = setting.full ? 20000 : 500;
                       return PlaceCase(graph, PublishedCluster(4, comm), options, setting.seed);
                     }});
  }
  return cases;
}

run::ExperimentResult PublishedTable(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "m-SCT is as good as m-ETF and better than the expert; both are far better than m-TOPO. "
      "Fusion and "
      "co-placement halve m-ETF's makespan.";
  const auto published = [&](const char* label, Comm comm = Comm::kParallel) {
    return Makespan(results, label, comm, true);
  };
  const auto own = [&](const char* label, Comm comm) {
    return Makespan(results, label, comm, false);
  };
  const double etf = published("m-ETF, coplace, fused");
  const double sct = published("m-SCT 0.1, coplace, fused");
  // A promise for the published profile; with analytic costs it is another graph.
  const bool promised = setting.gnmt_is_published;
  auto& m = result.measurements;
  m.push_back(Ratio("m-SCT / m-ETF", sct / etf, 1.02, promised));
  if (results.Has(CaseName("expert", Comm::kParallel, true)))
    m.push_back(Ratio("m-SCT / expert", sct / published("expert"), 1, promised));
  m.push_back(Ratio("m-ETF / m-TOPO", etf / published("m-TOPO, coplace, fused"), 0.9, promised));
  m.push_back(
      Ratio("m-ETF half duplex: coplace and fusion / neither",
            published("m-ETF, coplace, fused", Comm::kHalf) / published("m-ETF, tf", Comm::kHalf),
            0.6, promised));
  m.push_back(
      Ratio("m-SCT 0.1 / one device", sct / own("one device", Comm::kParallel), 1, promised));
  for (const Comm comm : {Comm::kParallel, Comm::kHalf}) {
    double best = own("one device", comm), paper = best * 1e9;
    for (const Row& row : kRows) {
      const double makespan = own(row.label, comm);
      best = std::min(best, makespan);
      if (row.label[0] == 'm') paper = std::min(paper, makespan);
    }
    const char* links = Name(comm);
    m.push_back(Ratio(fmt::format("auto / best of the others, {}", links), own(kAuto, comm) / best,
                      1, true));
    m.push_back({fmt::format("HEFT / best of the paper's algorithms, {}", links),
                 "",
                 run::Single(own("HEFT, tf, fused", comm) / paper),
                 {}});
    m.push_back({fmt::format("best of the paper's algorithms / one device, {}", links),
                 "",
                 run::Single(paper / own("one device", comm)),
                 {}});
  }
  result.tables = {MakespanTable(setting, results)};
  result.charts = {Bars(setting, results, Comm::kParallel), Bars(setting, results, Comm::kHalf)};
  if (!setting.gnmt_is_published)
    result.notes.emplace_back(
        "gnmt_v2.json is not there: a generated GNMT with analytic costs stands in.");
  result.notes.emplace_back(
      "Under half-duplex links no algorithm of the paper beats one device, and plain HEFT beats "
      "them all where links are parallel: the reasons for auto and refinement.");
  return result;
}

}  // namespace orchard::place::paper
