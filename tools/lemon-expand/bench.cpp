// lemon-expand bench: what expansion does on this machine, and what verifying and training are
// bounded by.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "base/logging.h"
#include "base/number_format.h"
#include "expand/throughput.h"
#include "lemon-expand/commands.h"
#include "lemon-expand/run_info.h"
#include "run/report.h"

namespace orchard::lemon_expand {
namespace {

using expand::Throughput;
using Json = nlohmann::ordered_json;

std::string Rate(double per_second, const char* unit = "B/s") {
  return fmt::format("{:.3g} G{}", per_second / 1e9, unit);
}

// Time over that of the faster plain copies, for as many bytes written.
double TimesPlainCopies(const Throughput& t, const expand::FileWork& w) {
  return w.seconds / t.copy_seconds * static_cast<double>(t.work[0].bytes_written) /
         static_cast<double>(w.bytes_written);
}

Json ToJson(const Throughput& t) {
  Json json = {{"model", t.model},
               {"source_parameters", t.source_parameters},
               {"target_parameters", t.target_parameters},
               {"work", Json::array()},
               {"copy_bytes_per_s", t.machine.copy_bytes},
               {"f32_flops_per_s", t.machine.f32_flops},
               {"f64_flops_per_s", t.machine.f64_flops},
               {"bounds", Json::array()}};
  for (const expand::FileWork& w : t.work) {
    json["work"].push_back({{"name", w.name},
                            {"threads", w.threads},
                            {"bytes_read", w.bytes_read},
                            {"bytes_written", w.bytes_written},
                            {"seconds", w.seconds},
                            {"processor_seconds", w.processor_seconds},
                            {"bytes_per_s", w.rate()},
                            {"bytes_per_s_and_core", w.rate_per_core()},
                            {"times_plain_copies", TimesPlainCopies(t, w)},
                            {"peak_memory", w.peak_memory}});
  }
  for (const expand::Bound& b : t.bounds) {
    Json entry = {{"name", b.name}, {"flops", b.flops}, {"bytes", b.bytes}, {"seconds", b.seconds}};
    if (b.tokens > 0) entry["tokens_per_s"] = static_cast<double>(b.tokens) / b.seconds;
    json["bounds"].push_back(std::move(entry));
  }
  if (t.device) {
    json["device"] = {{"name", t.device->name},
                      {"copy_bytes_per_s", t.device->copy},
                      {"expand_matrix_bytes_per_s", t.device->expand_matrix},
                      {"share_of_copy", t.device->expand_matrix / t.device->copy}};
  }
  return json;
}

run::Table WorkTable(const Throughput& t) {
  run::Table table{.caption =
                       "Files to files; the source is in the page cache, and time runs until "
                       "the target is on the disk",
                   .columns = {"Work", "Threads", "Written", "Time (s)", "Processor time (s)",
                               "Times plain copies", "Rate", "Rate of a core", "Peak memory"}};
  for (const expand::FileWork& w : t.work) {
    table.rows.push_back(
        {w.name, w.threads,
         run::Cell::Shown(FormatBytes(w.bytes_written), static_cast<double>(w.bytes_written)),
         run::Cell(w.seconds, 3), run::Cell(w.processor_seconds, 3),
         run::Cell(TimesPlainCopies(t, w), 3), run::Cell::Shown(Rate(w.rate()), w.rate()),
         run::Cell::Shown(Rate(w.rate_per_core()), w.rate_per_core()),
         run::Cell::Shown(FormatBytes(w.peak_memory), static_cast<double>(w.peak_memory))});
  }
  return table;
}

run::Table BoundTable(const Throughput& t) {
  run::Table table{.caption = "No implementation is faster than this on this machine",
                   .columns = {"Computation", "Operations (G)", "Bytes (GB)", "At least (s)",
                               "At most (tokens/s)"}};
  for (const expand::Bound& b : t.bounds) {
    table.rows.push_back(
        {b.name, run::Cell(b.flops / 1e9, 3), run::Cell(b.bytes / 1e9, 3), run::Cell(b.seconds, 3),
         b.tokens > 0 ? run::Cell(static_cast<double>(b.tokens) / b.seconds, 3) : run::Cell("")});
  }
  return table;
}

run::Report MakeReport(const Throughput& t, const std::string& config) {
  run::Report report("Expansion on this machine", "lemon-expand bench");
  report.AddFact("Model", t.model)
      .AddFact("Parameters",
               fmt::format("{} → {}", FormatCount(static_cast<double>(t.source_parameters)),
                           FormatCount(static_cast<double>(t.target_parameters))))
      .AddFact("Memory", Rate(t.machine.copy_bytes) + " read plus written by a copy")
      .AddFact("Arithmetic", Rate(t.machine.f32_flops, "FLOP/s") + " in f32, " +
                                 Rate(t.machine.f64_flops, "FLOP/s") + " in f64");
  report.AddSection("Expansion").AddTable(WorkTable(t));
  run::Chart chart{.kind = run::Chart::Kind::kBar, .title = "Output of one core"};
  chart.y = {.title = "rate", .unit = "GB/s"};
  run::Series series{.name = "written per second of processor time"};
  for (const expand::FileWork& w : t.work) {
    chart.categories.push_back(w.name);
    series.y.push_back(w.rate_per_core() / 1e9);
  }
  chart.series.push_back(std::move(series));
  report.AddChart(std::move(chart));
  report.AddSection("Bounds for verifying and training").AddTable(BoundTable(t));
  if (t.device) {
    report.AddSection("Device")
        .AddFact("Device", t.device->name)
        .AddParagraph(fmt::format(
            "A copy moves {}; growing a bf16 matrix from 4096² to 8192² moves {}, {:.0f} % of it.",
            Rate(t.device->copy), Rate(t.device->expand_matrix),
            100 * t.device->expand_matrix / t.device->copy));
  }
  report.AddSection("Call").AddRaw("config.toml", config);
  return report;
}

void Print(const Throughput& t) {
  fmt::print("{}: {} parameters grown to {}\n\n", t.model,
             FormatCount(static_cast<double>(t.source_parameters)),
             FormatCount(static_cast<double>(t.target_parameters)));
  fmt::print("{:<52} {:>7} {:>9} {:>8} {:>8} {:>10} {:>14} {:>10}\n", "", "threads", "written",
             "seconds", "x copies", "rate", "rate of a core", "memory");
  for (const expand::FileWork& w : t.work) {
    fmt::print("{:<52} {:>7} {:>9} {:>8.2f} {:>8.2f} {:>10} {:>14} {:>10}\n", w.name, w.threads,
               FormatBytes(w.bytes_written), w.seconds, TimesPlainCopies(t, w), Rate(w.rate()),
               Rate(w.rate_per_core()), FormatBytes(w.peak_memory));
  }
  fmt::print("\nmemory {} read plus written, {} in f32, {} in f64; so at best\n",
             Rate(t.machine.copy_bytes), Rate(t.machine.f32_flops, "FLOP/s"),
             Rate(t.machine.f64_flops, "FLOP/s"));
  for (const expand::Bound& b : t.bounds) {
    fmt::print("  {:<40} {:>9.3g} s{}\n", b.name, b.seconds,
               b.tokens > 0
                   ? fmt::format("  {:>9.3g} tokens/s", static_cast<double>(b.tokens) / b.seconds)
                   : "");
  }
  if (t.device) {
    fmt::print("\n{}: copy {}, expand_matrix {} ({:.0f} %)\n", t.device->name, Rate(t.device->copy),
               Rate(t.device->expand_matrix), 100 * t.device->expand_matrix / t.device->copy);
  }
}

int RunBench(const expand::ThroughputOptions& options, const cli::Context& context) {
  const auto measure = [&] {
    return expand::MeasureThroughput(options, context.common.Threads(),
                                     static_cast<uint64_t>(context.common.seed),
                                     [&](const std::string& step) {
                                       if (!context.common.no_progress) LogInfo("bench: " + step);
                                     });
  };
  Throughput result;
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, "cpu"),
                          run::WhenExisting(context.common.force, false));
    directory.Record([&] {
      result = measure();
      directory.WriteReport(MakeReport(result, context.config_toml));
      return nlohmann::json::parse(ToJson(result).dump());
    });
  } else {
    result = measure();
  }
  if (context.common.json) {
    fmt::print("{}\n", ToJson(result).dump());
  } else {
    Print(result);
  }
  return 0;
}

}  // namespace

void AddBench(cli::Program& program) {
  program.Add<expand::ThroughputOptions>(
      {.name = "bench",
       .summary = "measures expansion on this machine, and what training is bounded by",
       .example = "lemon-expand bench --size 256MB"},
      RunBench);
}

}  // namespace orchard::lemon_expand
