#include "run/report_chart.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/number_format.h"

namespace orchard::run {
namespace {

using nlohmann::ordered_json;

constexpr size_t kBuckets = 500;  // a chart is about that many pixels wide

bool HasBand(const Series& series) { return !series.low.empty(); }

std::vector<size_t> All(size_t count) {
  std::vector<size_t> indices(count);
  for (size_t i = 0; i < count; ++i) indices[i] = i;
  return indices;
}

// Where each point of a line stands on its axis, in [0, 1]; by its index where x does not rise or a
// logarithm does not exist.
std::vector<double> Positions(const std::vector<double>& x, bool logarithmic) {
  std::vector<double> positions;
  for (double value : x) positions.push_back(logarithmic ? std::log(value) : value);
  const bool rises =
      std::is_sorted(positions.begin(), positions.end()) &&
      std::all_of(positions.begin(), positions.end(), [](double p) { return std::isfinite(p); }) &&
      positions.back() > positions.front();
  const double first = rises ? positions.front() : 0;
  const double range = rises ? positions.back() - first : static_cast<double>(x.size() - 1);
  for (size_t i = 0; i < x.size(); ++i) {
    positions[i] = ((rises ? positions[i] : static_cast<double>(i)) - first) / range;
  }
  return positions;
}

// Indices of at most about 2 * kBuckets points of a line: the lowest and the highest of each bucket
// of the axis, the first and the last. What is not finite is kept as a gap only where a bucket
// holds nothing else.
std::vector<size_t> Thinned(const Series& series, bool logarithmic_x) {
  const std::vector<double>& y = series.y;
  if (y.size() <= 2 * kBuckets) return All(y.size());
  const auto below = [&](size_t a, size_t b) {
    return std::isfinite(y[a]) && (!std::isfinite(y[b]) || y[a] < y[b]);
  };
  const auto above = [&](size_t a, size_t b) {
    return std::isfinite(y[a]) && (!std::isfinite(y[b]) || y[a] > y[b]);
  };
  const std::vector<double> positions = Positions(series.x, logarithmic_x);
  std::vector<size_t> kept = {0};
  for (size_t begin = 0, end = 0; begin < y.size(); begin = end) {
    const auto bucket = std::floor(positions[begin] * kBuckets);
    size_t low = begin, high = begin;
    for (; end < y.size() && std::floor(positions[end] * kBuckets) == bucket; ++end) {
      if (below(end, low)) low = end;
      if (above(end, high)) high = end;
    }
    kept.push_back(std::min(low, high));
    kept.push_back(std::max(low, high));
  }
  kept.push_back(y.size() - 1);
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

ordered_json Numbers(const std::vector<double>& values, const std::vector<size_t>& indices) {
  ordered_json numbers = ordered_json::array();
  for (size_t i : indices) {
    std::isfinite(values[i]) ? numbers.push_back(values[i]) : numbers.push_back(nullptr);
  }
  return numbers;
}

ordered_json AxisJson(const Axis& axis) {
  return {{"label", AxisLabel(axis)}, {"unit", axis.unit}, {"log", axis.logarithmic}};
}

Cell NumberCell(double value) {
  return std::isfinite(value) ? Cell(value, 5) : Cell("\xE2\x80\x93");
}

std::string Heading(const Series& series, const Axis& axis, const char* what = "") {
  std::string text = series.name;
  if (!axis.unit.empty()) text += (text.empty() ? "" : " ") + ("(" + axis.unit + ")");
  return text + what;
}

}  // namespace

std::string AxisLabel(const Axis& axis) {
  if (axis.unit.empty()) return axis.title;
  return axis.title + " (" + axis.unit + ")";
}

void CheckChart(const Chart& chart) {
  const auto fail = [&](const Series& series, const char* what) {
    throw Error(ExitCode::kInternal, what,
                "chart `" + chart.title + "`, series `" + series.name + "`");
  };
  for (const Series& series : chart.series) {
    const size_t wanted =
        chart.kind == Chart::Kind::kBar ? chart.categories.size() : series.x.size();
    if (series.y.size() != wanted) fail(series, "x or categories and y differ in length");
    if (series.low.size() != series.high.size() ||
        (HasBand(series) && series.low.size() != series.y.size())) {
      fail(series, "the error band and y differ in length");
    }
  }
}

std::string ChartJson(const Chart& chart) {
  static constexpr const char* kKinds[] = {"line", "bar", "scatter"};
  ordered_json json = {{"kind", kKinds[static_cast<int>(chart.kind)]},
                       {"x", AxisJson(chart.x)},
                       {"y", AxisJson(chart.y)},
                       {"categories", chart.categories},
                       {"series", ordered_json::array()}};
  if (chart.stacked) json["stacked"] = true;
  for (const Series& series : chart.series) {
    const auto indices = chart.kind == Chart::Kind::kLine ? Thinned(series, chart.x.logarithmic)
                                                          : All(series.y.size());
    ordered_json entry = {{"name", series.name}, {"y", Numbers(series.y, indices)}};
    if (chart.kind != Chart::Kind::kBar) entry["x"] = Numbers(series.x, indices);
    if (HasBand(series)) {
      entry["low"] = Numbers(series.low, indices);
      entry["high"] = Numbers(series.high, indices);
    }
    json["series"].push_back(std::move(entry));
  }
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

Table ChartTable(const Chart& chart, size_t max_rows) {
  const bool bars = chart.kind == Chart::Kind::kBar;
  // One row per x with a column per series where all share their x; else one row per point.
  const bool shared = std::all_of(chart.series.begin(), chart.series.end(), [&](const Series& s) {
    return bars || s.x == chart.series.front().x;
  });
  Table table;
  if (!shared) table.columns.push_back("series");
  table.columns.push_back(AxisLabel(chart.x).empty() ? "x" : AxisLabel(chart.x));
  const auto add_columns = [&](const Series& series) {
    table.columns.push_back(Heading(series, chart.y));
    if (!HasBand(series)) return;
    table.columns.push_back(Heading(series, chart.y, ", low"));
    table.columns.push_back(Heading(series, chart.y, ", high"));
  };
  const auto add_values = [](std::vector<Cell>& row, const Series& series, size_t i) {
    row.push_back(NumberCell(series.y[i]));
    if (!HasBand(series)) return;
    row.push_back(NumberCell(series.low[i]));
    row.push_back(NumberCell(series.high[i]));
  };
  const auto x_cell = [&](const Series& series, size_t i) {
    return bars ? Cell(chart.categories[i]) : NumberCell(series.x[i]);
  };
  if (shared) {
    const size_t count = chart.series.empty() ? 0 : chart.series.front().y.size();
    const size_t stride = std::max<size_t>(1, (count + max_rows - 1) / max_rows);
    for (const Series& series : chart.series) add_columns(series);
    for (size_t i = 0; i < count; i += stride) {
      std::vector<Cell> row = {x_cell(chart.series.front(), i)};
      for (const Series& series : chart.series) add_values(row, series, i);
      table.rows.push_back(std::move(row));
    }
    return table;
  }
  const bool band = std::any_of(chart.series.begin(), chart.series.end(), HasBand);
  table.columns.push_back(AxisLabel(chart.y).empty() ? "y" : AxisLabel(chart.y));
  if (band) table.columns.insert(table.columns.end(), {"low", "high"});
  size_t count = 0;
  for (const Series& series : chart.series) count += series.y.size();
  const size_t stride = std::max<size_t>(1, (count + max_rows - 1) / max_rows);
  for (const Series& series : chart.series) {
    for (size_t i = 0; i < series.y.size(); i += stride) {
      std::vector<Cell> row = {Cell(series.name), x_cell(series, i)};
      add_values(row, series, i);
      row.resize(table.columns.size(), Cell(""));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

}  // namespace orchard::run
