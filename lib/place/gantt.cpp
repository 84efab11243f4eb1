// The Gantt chart of a plan as SVG.
#include <fmt/format.h>

#include <algorithm>

#include "place/explain.h"
#include "place/host_plan.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

constexpr double kWidth = 1060, kLeft = 90, kRow = 30, kHalfRow = 12, kGap = 14, kTop = 26;
constexpr double kLetter = 5.4, kLabelled = 6 * kLetter;  // widths of a letter, of the least label
// Of the kinds of operators of a training step; of other graphs all have the first. Neighbours are
// told apart.
constexpr const char* kStepColors[kStepKinds][2] = {
    {"#0072b2", "#56a3d0"}, {"#7b3294", "#b07cc6"}, {"#4d4d4d", "#8c8c8c"}, {"#b8860b", "#e0b84c"}};
constexpr const char* kSendColor = "#d55e00";
constexpr const char* kReceiveColor = "#009e73";
constexpr const char* kFetchColor = "#cc79a7";
constexpr const char* kGradientColor = "#6a51a3";
constexpr const char* kChainColor = "#111";

std::string Escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"' || static_cast<unsigned char>(c) < 32) {
      escaped += fmt::format("&#{};", std::max(32, static_cast<int>(c)));
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// The end of a long name, which tells operators apart; whole characters of UTF-8.
std::string Shortened(const std::string& name, size_t letters) {
  if (name.size() <= letters) return name;
  size_t from = name.size() - letters + 1;
  while (from < name.size() && (static_cast<unsigned char>(name[from]) & 0xc0) == 0x80) ++from;
  return "\u2026" + name.substr(from);
}

// A round step that gives five to ten marks.
double Step(double span) {
  double step = 1;
  while (step * 10 < span) step *= 10;
  while (step > span) step /= 10;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (span / (step / 10 * factor) <= 10) return step / 10 * factor;
  }
  return step;
}

class Gantt {
 public:
  Gantt(const Problem& problem, const Schedule& schedule)
      : problem_(problem),
        schedule_(schedule),
        band_(kRow + (schedule.host ? 3 : 2) * kHalfRow + kGap),
        scale_((kWidth - kLeft - 10) /
               std::max<double>(1, static_cast<double>(schedule.makespan))) {}

  std::string Svg() {
    for (int32_t d = 0; d < problem_.cluster.size(); ++d) DrawDevice(d);
    DrawChain();
    const double axis = kTop + problem_.cluster.size() * band_;
    const double height = axis + 40;
    return fmt::format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" font-family="sans-serif" font-size="12" fill="#333"><rect width="100%" height="100%" fill="#fff"/>{2}{3}<text x="{4}" y="{5}" text-anchor="middle">milliseconds</text>{6}</svg>)",
        kWidth, height, Axis(axis), body_, kWidth / 2, height - 5, Legend());
  }

 private:
  double X(Time time) const { return kLeft + static_cast<double>(time) * scale_; }
  double Y(int32_t device) const { return kTop + device * band_; }

  void DrawDevice(int32_t d) {
    const double y = Y(d);
    body_ += fmt::format(R"(<text x="{}" y="{:.1f}" text-anchor="end">{}</text>)", kLeft - 8,
                         y + 20, Escape(Shortened(problem_.cluster.devices[d].name, 12)));
    int color = 0;
    std::string labels;
    for (int32_t i : schedule_.order[d]) {
      const int kind = problem_.graph.step ? static_cast<int>(problem_.graph.step->ops[i].kind) : 0;
      Bar(schedule_.start[i], schedule_.end[i], y, kRow, kStepColors[kind][color]);
      labels += Label(i, y);
      color = 1 - color;
    }
    Flush();
    body_ += labels;
    for (const bool send : {true, false}) {
      for (const Transfer& t : schedule_.transfers) {
        if ((send ? t.src : t.dst) != d) continue;
        Bar(t.start, t.end, y + kRow + (send ? 2 : 2 + kHalfRow), kHalfRow - 2,
            send ? kSendColor : kReceiveColor);
      }
      Flush();
    }
    if (schedule_.host) DrawHostLink(d, y + kRow + 2 + 2 * kHalfRow);
  }

  // Both ways in one row: fetches above, gradients below.
  void DrawHostLink(int32_t d, double y) {
    constexpr double kHeight = (kHalfRow - 2) / 2;
    for (const Span& span : schedule_.fetches[d])
      Bar(span.start, span.end, y, kHeight, kFetchColor);
    Flush();
    for (const WriteBack& gradient : schedule_.write_backs) {
      if (gradient.device == d)
        Bar(gradient.start, gradient.end, y + kHeight, kHeight, kGradientColor);
    }
    Flush();
  }

  // One bar; bars closer than half a pixel become one.
  void Bar(Time start, Time end, double y, double height, const char* color) {
    const double from = X(start), to = X(end);
    if (pending_ && color == color_ && y == y_ && from - to_ < 0.5 &&
        (to - from < 1 || to_ - from_ < 1)) {
      to_ = std::max(to_, to);
      return;
    }
    Flush();
    pending_ = true;
    from_ = from;
    to_ = to;
    y_ = y;
    height_ = height;
    color_ = color;
  }

  void Flush() {
    if (!pending_) return;
    body_ +=
        fmt::format(R"(<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" fill="{}"/>)",
                    from_, y_, std::max(0.3, to_ - from_ - 0.15), height_, color_);
    pending_ = false;
  }

  // The operator's name where its bar has room for it.
  std::string Label(int32_t op, double y) const {
    const double width = X(schedule_.end[op]) - X(schedule_.start[op]);
    if (width < kLabelled) return "";
    const auto letters = static_cast<size_t>((width - 4) / kLetter);
    return fmt::format(
        R"(<text x="{:.1f}" y="{:.1f}" font-size="9.5" fill="#fff" text-anchor="middle">{}</text>)",
        X(schedule_.start[op]) + width / 2, y + kRow / 2 + 3.5,
        Escape(Shortened(problem_.graph.ops[op].name, letters)));
  }

  // What fixes the makespan: a line above its operators, joined where a tensor was sent.
  void DrawChain() {
    std::string path;
    const auto line = [&](double x1, double y1, double x2, double y2) {
      path += fmt::format("M{:.2f} {:.1f}L{:.2f} {:.1f}", x1, y1, x2, y2);
    };
    constexpr double kAbove = 3;
    double from = 0, to = -1, y = 0;  // a run of operators that follow each other
    const auto finish = [&] {
      if (to >= from) line(from, y, to, y);
      to = -1;
    };
    for (const ChainLink& link : CriticalChain(problem_, schedule_)) {  // last first
      if (link.tensor >= 0) {
        finish();
        line(X(link.start), Y(link.src) - kAbove, X(link.end), Y(link.dst) - kAbove);
        continue;
      }
      const double at = Y(link.src) - kAbove;
      if (to >= from && at == y && from - X(link.end) < 0.5) {
        from = X(link.start);
        continue;
      }
      finish();
      from = X(link.start);
      to = X(link.end);
      y = at;
    }
    finish();
    body_ += fmt::format(R"(<path d="{}" stroke="{}" stroke-width="2" fill="none"/>)", path,
                         kChainColor);
  }

  std::string Axis(double bottom) const {
    std::string text;
    const double span = ToMicroseconds(schedule_.makespan) / 1000;  // ms
    const double step = Step(std::max(span, 1e-9));
    for (double at = 0; at <= span * 1.0001; at += step) {
      const double x = X(FromMicroseconds(at * 1000));
      text += fmt::format(
          R"(<path d="M{0:.1f} {1}V{2:.1f}" stroke="#d5d9de"/><text x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4:g}</text>)",
          x, kTop - 6, bottom, bottom + 14, at);
    }
    return text;
  }

  std::string Legend() const {
    std::string text;
    double x = kLeft;
    const auto entry = [&](const char* color, double height, const char* label) {
      text += fmt::format(
          R"(<rect x="{:.0f}" y="{:.1f}" width="14" height="{}" fill="{}"/><text x="{:.0f}" y="12" font-size="11">{}</text>)",
          x, 8 - height / 2, height, color, x + 19, label);
      x += 130;
    };
    entry(kStepColors[0][0], 10, "operator");
    entry(kSendColor, 10, "send");
    entry(kReceiveColor, 10, "receive");
    if (schedule_.host) entry(kFetchColor, 10, "parameters");
    if (!schedule_.write_backs.empty()) entry(kGradientColor, 10, "gradients");
    entry(kChainColor, 2, "chain that fixes the makespan");
    return text;
  }

  const Problem& problem_;
  const Schedule& schedule_;
  double band_;  // of one device
  double scale_;
  std::string body_;
  bool pending_ = false;
  double from_ = 0, to_ = 0, y_ = 0, height_ = 0;
  const char* color_ = "";
};

}  // namespace

std::string GanttSvg(const Problem& problem, const Schedule& schedule) {
  return Gantt(problem, schedule).Svg();
}

}  // namespace orchard::place
