#include "segment/box_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "run/html.h"
#include "volume/overlay.h"
#include "volume/surface.h"

namespace orchard::segment {
namespace {

constexpr double kLeft = 62, kTop = 34, kHeight = 230, kBottom = 44, kStep = 92;

// A round step of which 4 to 8 make `range`.
double TickStep(double range) {
  const double raw = range / 5, power = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0})
    if (raw <= factor * power) return factor * power;
  return 10 * power;
}

struct Scale {
  double low, high;
  double Y(double value) const { return kTop + kHeight * (1 - (value - low) / (high - low)); }
};

Scale ChooseScale(const std::vector<BoxOf>& boxes, bool share) {
  double low = share ? 1 : 0, high = share ? 1 : 0;
  for (const BoxOf& box : boxes) {
    for (double value : box.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (high - low < 1e-9) low = share ? high - 0.1 : low, high = share ? high : low + 1;
  const double step = TickStep(high - low);
  return {std::floor(low / step) * step, std::ceil(high / step) * step};
}

std::string Line(double x0, double y0, double x1, double y1, const char* style) {
  return fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' {}/>", x0, y0, x1, y1,
                     style);
}

std::string DrawBox(std::vector<double> values, double center, const Scale& scale,
                    const std::string& color) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  std::sort(values.begin(), values.end());
  if (values.empty()) return "";
  const double q1 = volume::Quantile(values, 0.25), q3 = volume::Quantile(values, 0.75);
  const double reach = 1.5 * (q3 - q1);
  const double low =
      *std::find_if(values.begin(), values.end(), [&](double v) { return v >= q1 - reach; });
  const double high =
      *std::find_if(values.rbegin(), values.rend(), [&](double v) { return v <= q3 + reach; });
  const char* const ink = "stroke='#333' stroke-width='1.2'";
  std::string svg = Line(center, scale.Y(low), center, scale.Y(q1), ink);
  svg += Line(center, scale.Y(q3), center, scale.Y(high), ink);
  svg += fmt::format(
      "<rect x='{:.1f}' y='{:.1f}' width='44' height='{:.1f}' fill='{}' fill-opacity='.35' {}/>",
      center - 22, scale.Y(q3), std::max(1.0, scale.Y(q1) - scale.Y(q3)), color, ink);
  const double median = scale.Y(volume::Quantile(values, 0.5));
  svg += Line(center - 22, median, center + 22, median, "stroke='#111' stroke-width='2.4'");
  for (size_t v = 0; v < values.size(); ++v) {
    // Spread sideways by a fixed pattern, so that equal values stay apart.
    const double x = center + 30 + static_cast<double>((v * 7) % 13) - 6;
    svg += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='2' fill='{}'/>", x, scale.Y(values[v]),
                       color);
  }
  return svg;
}

}  // namespace

std::string BoxPlotSvg(const std::vector<BoxOf>& boxes, const std::string& title,
                       const std::string& unit, bool from_zero_to_one) {
  const Scale scale = ChooseScale(boxes, from_zero_to_one);
  const double width = kLeft + kStep * static_cast<double>(boxes.size()) + 20;
  std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0:.0f}' height='{1:.0f}' viewBox='0 0 "
      "{0:.0f} "
      "{1:.0f}' font-family='sans-serif' font-size='12' fill='#222'>"
      "<rect width='100%' height='100%' fill='#fff'/><text x='10' y='18' "
      "font-weight='bold'>{2}</text>",
      width, kTop + kHeight + kBottom,
      run::EscapeHtml(title + (unit.empty() ? "" : " (" + unit + ")")));
  const double step = TickStep(scale.high - scale.low);
  for (double tick = scale.low; tick <= scale.high + step / 2; tick += step) {
    svg += Line(kLeft, scale.Y(tick), width - 10, scale.Y(tick), "stroke='#ddd'");
    svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='end'>{:g}</text>", kLeft - 6,
                       scale.Y(tick) + 4, std::abs(tick) < step / 1000 ? 0 : tick);
  }
  for (size_t b = 0; b < boxes.size(); ++b) {
    const double center = kLeft + kStep * (static_cast<double>(b) + 0.4);
    const auto [red, green, blue] = volume::ClassColor(static_cast<int64_t>(b) + 1);
    svg += DrawBox(boxes[b].values, center, scale,
                   fmt::format("rgb({},{},{})", red * 3 / 4, green * 3 / 4, blue * 3 / 4));
    svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='middle'>{}</text>", center,
                       kTop + kHeight + 20, run::EscapeHtml(boxes[b].name));
  }
  return svg + "</svg>";
}

}  // namespace orchard::segment
