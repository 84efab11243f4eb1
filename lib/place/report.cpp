#include "place/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/number_format.h"
#include "place/assessment.h"
#include "place/explain.h"
#include "place/host_plan.h"
#include "place/offload.h"

namespace orchard::place {
namespace {

using run::Cell;

Cell TimeCell(Time time) { return Cell::Shown(FormatDuration(ToSeconds(time)), ToSeconds(time)); }
Cell BytesCell(int64_t bytes) {
  return Cell::Shown(FormatBytes(static_cast<uint64_t>(bytes)), static_cast<double>(bytes));
}
Cell PartCell(Time part, Time whole) {
  const double percent =
      whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
  return Cell::Shown(fmt::format("{:.1f} %", percent), percent);
}

run::Table DeviceTable(const Problem& problem, const Evaluated& placement) {
  run::Table table{.columns = {"Device", "Operators", "Busy", "Sending", "Receiving", "Sent",
                               "Received", "Peak memory", "Limit"}};
  const std::vector<DeviceUse> uses = DeviceUses(problem, placement.schedule);
  const Time makespan = placement.schedule.makespan;
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    const Device& device = problem.cluster.devices[d];
    table.rows.push_back({device.name, static_cast<int64_t>(uses[d].operators),
                          PartCell(uses[d].busy, makespan), PartCell(uses[d].sending, makespan),
                          PartCell(uses[d].receiving, makespan), BytesCell(uses[d].sent_bytes),
                          BytesCell(uses[d].received_bytes), BytesCell(placement.memory.peak[d]),
                          device.memory == INT64_MAX ? Cell("none") : BytesCell(device.memory)});
    if (!placement.schedule.host) continue;
    table.rows.back().push_back(PartCell(uses[d].fetching, makespan));
    table.rows.back().push_back(BytesCell(uses[d].fetched_bytes));
  }
  if (placement.schedule.host) {
    table.columns.push_back("Fetching");
    table.columns.push_back("Fetched");
  }
  return table;
}

run::Chart MemoryChart(const Problem& problem, const MemoryUse& memory, Time makespan) {
  run::Chart chart{.title = "Memory over time",
                   .x = {.title = "time", .unit = "ms"},
                   .y = {.title = "memory", .unit = "MB"}};
  bool equal = true;
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    run::Series series{.name = problem.cluster.devices[d].name};
    for (const auto& [time, bytes] : memory.curve[d]) {
      const double x = ToMicroseconds(time) / 1000;
      if (!series.y.empty()) {  // steps
        series.x.push_back(x);
        series.y.push_back(series.y.back());
      }
      series.x.push_back(x);
      series.y.push_back(static_cast<double>(bytes) / 1e6);
    }
    series.x.push_back(ToMicroseconds(makespan) / 1000);
    series.y.push_back(series.y.back());
    chart.series.push_back(series);
    equal = equal && problem.cluster.devices[d].memory == problem.cluster.devices[0].memory;
  }
  for (const Device& device : problem.cluster.devices) {
    if (device.memory == INT64_MAX) continue;
    const double top = static_cast<double>(device.memory) / 1e6;
    chart.series.push_back({.name = equal ? "limit" : "limit of " + device.name,
                            .x = {0, ToMicroseconds(makespan) / 1000},
                            .y = {top, top}});
    if (equal) break;
  }
  return chart;
}

// What each method trades: a point for each.
run::Chart TradeChart(const std::vector<Member>& members) {
  run::Chart chart{.kind = run::Chart::Kind::kScatter,
                   .title = "Makespan against memory",
                   .x = {.title = "largest peak of a device", .unit = "MB"},
                   .y = {.title = "makespan", .unit = "ms"},
                   .caption = "Left and low is better."};
  bool several = false;  // settings of a method
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    run::Series series{.name = algorithm == Algorithm::kAuto ? "refined" : name};
    for (const Member& member : members) {
      if (member.algorithm != algorithm || !member.usable()) continue;
      const auto& peak = member.result.memory.peak;
      series.x.push_back(static_cast<double>(*std::max_element(peak.begin(), peak.end())) / 1e6);
      series.y.push_back(ToMicroseconds(member.result.schedule.makespan) / 1000);
    }
    several = several || series.x.size() > 1;
    if (!series.x.empty()) chart.series.push_back(series);
  }
  if (several) chart.caption += " Of methods with several settings, all.";
  return chart;
}

// What less memory costs, in words.
std::string TradeInWords(const LimitSweep& sweep) {
  const LimitPoint &least = sweep.points.front(), &most = sweep.points.back();
  const auto bytes = [](int64_t n) { return FormatBytes(static_cast<uint64_t>(n)); };
  const auto time = [](Time t) { return FormatDuration(ToSeconds(t)); };
  if (least.makespan == most.makespan)
    return fmt::format("{} on every device are as fast as more: {}.", bytes(least.limit),
                       time(least.makespan));
  return fmt::format(
      "With {} on every device it takes {}, with {} or more {}: {:.1f} % less memory cost {:.1f} % "
      "more time.",
      bytes(least.limit), time(least.makespan), bytes(most.limit), time(most.makespan),
      100.0 * (1 - static_cast<double>(least.limit) / static_cast<double>(most.limit)),
      100.0 * (static_cast<double>(least.makespan) / static_cast<double>(most.makespan) - 1));
}

// Where the chain runs and what is longest in it, in words.
std::string ChainPlaces(const Problem& problem, const std::vector<ChainLink>& chain) {
  std::vector<Time> of_device(problem.cluster.size(), 0);
  const ChainLink *op = nullptr, *sent = nullptr, *moved = nullptr;
  for (const ChainLink& link : chain) {
    if (link.host == HostPart::kUpdate) continue;
    if (link.computes()) of_device[link.src] += link.end - link.start;
    const ChainLink*& longest = link.computes() ? op : link.tensor >= 0 ? sent : moved;
    if (!longest || link.end - link.start > longest->end - longest->start) longest = &link;
  }
  std::string text;
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    if (of_device[d] == 0) continue;
    text += fmt::format("{}{} computes {} of it", text.empty() ? "" : ", ",
                        problem.cluster.devices[d].name, FormatDuration(ToSeconds(of_device[d])));
  }
  if (op) {
    text += fmt::format(". Its longest operator is {} ({})", problem.graph.ops[op->op].name,
                        FormatDuration(ToSeconds(op->end - op->start)));
  }
  if (sent) {
    text += fmt::format(
        ", its longest transfer {} from {} to {} ({})", problem.graph.tensor_names[sent->tensor],
        problem.cluster.devices[sent->src].name, problem.cluster.devices[sent->dst].name,
        FormatDuration(ToSeconds(sent->end - sent->start)));
  }
  if (moved) {
    text += fmt::format(
        ". Of what it waits for from or to the host the longest is the {} of {} ({})",
        moved->host == HostPart::kFetch ? "fetch of parameters" : "gradient",
        problem.graph.ops[moved->op].name, FormatDuration(ToSeconds(moved->end - moved->start)));
  }
  return text + ".";
}

std::string WhatIsDone(const Problem& problem, const ChainLink& link) {
  const std::string& name = problem.graph.ops[link.op].name;
  switch (link.host) {
    case HostPart::kFetch:
      return "fetch parameters of " + name;
    case HostPart::kGradient:
      return "gradient to the host for " + name;
    case HostPart::kUpdate:
      return name + " on the host";
    case HostPart::kNone:
      break;
  }
  return link.tensor < 0 ? name : "send " + problem.graph.tensor_names[link.tensor];
}

std::string Capitalized(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

run::Table ChainTable(const Problem& problem, const std::vector<ChainLink>& chain) {
  run::Table table{.columns = {"Step", "What", "Where", "Start", "Takes"}};
  constexpr size_t kShown = 100;
  std::vector<ChainLink> longest(chain.rbegin(), chain.rend());
  if (longest.size() > kShown) {
    table.caption = fmt::format("The {} longest of {} steps", kShown, chain.size());
    std::vector<Time> lengths;
    lengths.reserve(longest.size());
    for (const ChainLink& link : longest) lengths.push_back(link.end - link.start);
    std::nth_element(lengths.begin(), lengths.begin() + kShown, lengths.end(), std::greater<>());
    const Time least = lengths[kShown];
    std::erase_if(longest, [&](const ChainLink& link) { return link.end - link.start <= least; });
  }
  int64_t step = 0;
  for (const ChainLink& link : longest) {
    const std::string where = link.tensor < 0
                                  ? problem.cluster.devices[link.src].name
                                  : fmt::format("{} to {}", problem.cluster.devices[link.src].name,
                                                problem.cluster.devices[link.dst].name);
    table.rows.push_back({++step, WhatIsDone(problem, link), where, TimeCell(link.start),
                          TimeCell(link.end - link.start)});
  }
  return table;
}

}  // namespace

run::Table MemberTable(const std::vector<Member>& members, const LowerBound& bound) {
  run::Table table{.columns = {"Method", "Makespan", "Above the bound", "Largest peak", "Fits",
                               "Transfers' bytes", "Found in"}};
  for (const Member& member : members) {
    if (!member.placed) {
      table.rows.push_back({member.name, "-", "-", "-", Cell("out of memory while planning"), "-",
                            Cell::Shown(FormatDuration(member.seconds), member.seconds)});
      continue;
    }
    const auto& peak = member.result.memory.peak;
    const Time makespan = member.result.schedule.makespan;
    table.rows.push_back(
        {member.name, TimeCell(makespan), PartCell(makespan - bound.value(), bound.value()),
         BytesCell(*std::max_element(peak.begin(), peak.end())),
         member.result.feasible() ? Cell("yes") : Cell("no"), BytesCell(member.sent_bytes),
         Cell::Shown(FormatDuration(member.seconds), member.seconds)});
  }
  return table;
}

void AddMembers(run::Report& report, const std::vector<Member>& members, const LowerBound& bound) {
  report.AddSection("Methods").AddTable(MemberTable(members, bound));
  if (std::any_of(members.begin(), members.end(), [](const Member& m) { return m.usable(); }))
    report.AddChart(TradeChart(members));
}

run::Report PlacementReport(const std::string& title, const Problem& problem,
                            const Evaluated& placement, const LowerBound& bound,
                            const std::vector<Member>& members, const std::string& method) {
  const Schedule& schedule = placement.schedule;
  run::Report report(title, "baechi-place");
  report.AddVerdict(placement.feasible() ? run::Verdict::kPass : run::Verdict::kFail,
                    placement.feasible() ? "Fits every device" : "Does not fit",
                    "replayed event by event, with copies of remote tensors");
  const Time single = problem.ops.TotalWork();
  const Assessment assessment = Assess(problem, placement, bound, members);
  report.AddVerdict(
      schedule.makespan <= bound.value() ? run::Verdict::kPass : run::Verdict::kAsItCameOut,
      Capitalized(assessment.distance),
      assessment.gain.empty() ? assessment.reason
                              : fmt::format("{}; {}", assessment.reason, assessment.gain));
  report.AddFact("Makespan", FormatDuration(ToSeconds(schedule.makespan)));
  report.AddFact("Above the lower bound",
                 PartCell(schedule.makespan - bound.value(), bound.value()).text);
  report.AddFact("All compute on one device", FormatDuration(ToSeconds(single)));
  report.AddFact("Method", method);
  report.AddFact("Operators", FormatInteger(problem.ops.size()));
  report.AddFact("Links", Name(problem.cluster.comm));
  if (schedule.host) {
    const int64_t bytes = BytesOnHost(problem, *schedule.host);
    report.AddFact("Parameters on the host",
                   fmt::format("{} of {} operators", FormatBytes(static_cast<uint64_t>(bytes)),
                               FormatInteger(static_cast<uint64_t>(schedule.host->size()))));
  }
  const std::string svg = GanttSvg(problem, schedule);
  report.AddSection("When what runs")
      .AddPicture(
          std::as_bytes(std::span(svg)), "image/svg+xml", "Gantt chart: one band per device",
          fmt::format(
              "Per device: operators ({}neighbours in two shades), below them sends (orange) and "
              "receives (green){}. The black line is the chain that fixes the makespan: it changes "
              "the device where it waits for a tensor.",
              problem.graph.step ? "forward blue, backward purple, computed again gold, "
                                   "updates grey, "
                                 : "blue, ",
              schedule.host ? ", then parameters from the host (pink) and gradients to it (violet)"
                            : ""))
      .AddTable(DeviceTable(problem, placement));
  const std::vector<ChainLink> chain = CriticalChain(problem, schedule);
  report.AddSection("What the time goes into")
      .AddParagraph("The chain that fixes the makespan, " + ChainInWords(chain, schedule.makespan) +
                    ".")
      .AddParagraph(ChainPlaces(problem, chain))
      .AddParagraph(fmt::format(
          "The lower bound is {}: the longest chain of operators takes {} without any transfer, "
          "all "
          "compute spread evenly {}{}.",
          FormatDuration(ToSeconds(bound.value())), FormatDuration(ToSeconds(bound.critical_path)),
          FormatDuration(ToSeconds(bound.work)),
          bound.value() > std::max(bound.critical_path, bound.work)
              ? fmt::format(", and what must stay together, or a proof, says {}",
                            FormatDuration(ToSeconds(bound.value())))
              : ""));
  const MemoryUse memory =
      ReplayMemory(problem.sizes, problem.ops, schedule, problem.cluster.size(), true);
  report.AddSection("Memory").AddChart(MemoryChart(problem, memory, schedule.makespan));
  if (!members.empty()) AddMembers(report, members, bound);
  report.AddSection("The chain, step by step").AddTable(ChainTable(problem, chain));
  return report;
}

run::Report LimitReport(const std::string& title, const LimitSweep& sweep) {
  run::Report report(title, "baechi-place limits");
  report.AddFact("Smallest limit with a placement",
                 FormatBytes(static_cast<uint64_t>(sweep.smallest)));
  report.AddFact("No placement fits below", FormatBytes(static_cast<uint64_t>(sweep.least)));
  run::Chart chart{.title = "Makespan against memory",
                   .x = {.title = "limit of every device", .unit = "MB"},
                   .y = {.title = "makespan", .unit = "ms"},
                   .caption =
                       "The best placement that was found for each limit. Between two limits "
                       "the one of the smaller limit fits."};
  run::Series series{.name = "best placement found"};
  const bool host = std::any_of(sweep.points.begin(), sweep.points.end(),
                                [](const LimitPoint& point) { return point.on_host > 0; });
  run::Table table{.columns = {"Limit", "Makespan", "Largest peak", "Method"}};
  if (host) table.columns.insert(table.columns.begin() + 3, "On the host");
  for (const LimitPoint& point : sweep.points) {
    series.x.push_back(static_cast<double>(point.limit) / 1e6);
    series.y.push_back(ToMicroseconds(point.makespan) / 1000);
    table.rows.push_back(
        {BytesCell(point.limit), TimeCell(point.makespan), BytesCell(point.peak), point.method});
    if (host) table.rows.back().insert(table.rows.back().begin() + 3, BytesCell(point.on_host));
  }
  chart.series.push_back(series);
  report.AddSection("What memory buys");
  if (!sweep.points.empty()) report.AddParagraph(TradeInWords(sweep));
  report.AddChart(chart).AddTable(table);
  return report;
}

}  // namespace orchard::place
