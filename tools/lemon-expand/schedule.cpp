// lemon-expand schedule: learning rates over the steps, for training from scratch, for the grown
// model, or as a training configuration asks.
#include "nn/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/number_format.h"
#include "expand/train_options.h"
#include "lemon-expand/commands.h"
#include "lemon-expand/run_info.h"
#include "run/report.h"

namespace orchard::lemon_expand {
namespace {

using Json = nlohmann::ordered_json;

struct ScheduleCommandOptions {
  int64_t scratch_steps = 0;
  std::string rule = "vit";
  int64_t rows = 11;
  expand::TrainOptions train;

  void Fields(cli::FieldVisitor& f) {
    f("scratch_steps", scratch_steps,
      "steps of training from scratch (0: show the configuration's schedule)", cli::Count(0));
    cli::Constraint rules;
    rules.suggestions = "vit bert cnn";
    f("rule", rule, "how much shorter the grown model trains: vit, bert or cnn", rules);
    f("rows", rows, "lines of the table", cli::Between(2, 1000));
    train.Fields(f);  // so that the configuration of a training run is understood
  }
};

struct Curve {
  std::string name;
  nn::Schedule schedule;
};

std::vector<Curve> Curves(const ScheduleCommandOptions& o) {
  if (o.scratch_steps > 0) {
    const nn::HorizonRule& rule = nn::FindHorizonRule(o.rule);
    return {{"from scratch", rule.Scratch(o.scratch_steps)},
            {"grown model", rule.Expanded(o.scratch_steps)}};
  }
  if (o.train.sched.epochs) {
    throw UsageError("a schedule in epochs depends on the data", "sched.epochs", "give steps");
  }
  return {
      {"configured", nn::Schedule(o.train.sched.schedule, o.train.opt.lr, o.train.sched.steps)}};
}

int64_t Longest(const std::vector<Curve>& curves) {
  int64_t longest = 1;
  for (const Curve& c : curves) longest = std::max(longest, c.schedule.steps());
  return longest;
}

// The steps of `rows` lines, from the first update to the end of the longest curve.
std::vector<int64_t> Steps(const std::vector<Curve>& curves, int64_t rows) {
  std::vector<int64_t> steps;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t step = i * Longest(curves) / (rows - 1);
    if (steps.empty() || step > steps.back()) steps.push_back(step);
  }
  return steps;
}

Json ToJson(const std::vector<Curve>& curves, int64_t rows) {
  Json json = {{"curves", Json::array()}};
  for (const Curve& c : curves) {
    Json points = Json::array();
    for (const int64_t step : Steps(curves, rows)) {
      if (step <= c.schedule.steps()) points.push_back({step, c.schedule.At(step)});
    }
    json["curves"].push_back({{"name", c.name},
                              {"steps", c.schedule.steps()},
                              {"lr_max", c.schedule.lr_max()},
                              {"lr_min", c.schedule.lr_min()},
                              {"points", points}});
  }
  if (curves.size() == 2) {
    json["saving"] = 1 - static_cast<double>(curves[1].schedule.steps()) /
                             static_cast<double>(curves[0].schedule.steps());
  }
  return json;
}

void Print(const std::vector<Curve>& curves, int64_t rows) {
  fmt::print("{:>12}", "step");
  for (const Curve& c : curves) fmt::print("  {:>14}", c.name);
  fmt::print("\n");
  for (const int64_t step : Steps(curves, rows)) {
    fmt::print("{:>12}", FormatInteger(step));
    for (const Curve& c : curves) {
      fmt::print("  {:>14}", step <= c.schedule.steps() ? FormatSignificant(c.schedule.At(step), 4)
                                                        : std::string("-"));
    }
    fmt::print("\n");
  }
}

run::Report MakeReport(const std::vector<Curve>& curves, const std::string& config) {
  run::Report report("Learning-rate schedules");
  run::Chart chart;
  chart.title = "Learning rate";
  chart.x.title = "step";
  chart.y.title = "learning rate";
  for (const Curve& c : curves) {
    report.AddFact("Steps, " + c.name, FormatInteger(c.schedule.steps()));
    run::Series series{.name = c.name};
    for (int64_t i = 0; i <= 500; ++i) {
      const int64_t step = i * c.schedule.steps() / 500;
      if (!series.x.empty() && static_cast<double>(step) == series.x.back()) continue;
      series.x.push_back(static_cast<double>(step));
      series.y.push_back(c.schedule.At(step));
    }
    chart.series.push_back(std::move(series));
  }
  report.AddSection("Curves").AddChart(std::move(chart)).AddRaw("config.toml", config);
  return report;
}

int RunSchedule(const ScheduleCommandOptions& options, const cli::Context& context) {
  const std::vector<Curve> curves = Curves(options);
  if (context.common.out) {
    run::RunDir directory(*context.common.out, MakeRunInfo(context, "cpu"),
                          run::WhenExisting(context.common.force, false));
    directory.Record([&] {
      directory.WriteReport(MakeReport(curves, context.config_toml));
      return nlohmann::json::parse(ToJson(curves, options.rows).dump());
    });
  }
  if (context.common.json) {
    fmt::print("{}\n", ToJson(curves, options.rows).dump());
  } else {
    Print(curves, options.rows);
  }
  return 0;
}

}  // namespace

void AddSchedule(cli::Program& program) {
  program.Add<ScheduleCommandOptions>(
      {.name = "schedule",
       .summary = "shows learning rates over the steps, from scratch and for a grown model",
       .example = "lemon-expand schedule --scratch-steps 100000 --rule bert"},
      RunSchedule);
}

}  // namespace orchard::lemon_expand
