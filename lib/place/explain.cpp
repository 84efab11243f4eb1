#include "place/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/number_format.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

std::string Shown(Time time) { return FormatDuration(ToSeconds(time)); }

// Walks from the end of the schedule to its beginning.
class ChainFinder {
 public:
  ChainFinder(const Problem& problem, const Schedule& schedule)
      : problem_(problem), schedule_(schedule), before_(problem.ops.size(), -1) {
    for (const auto& order : schedule.order) {
      for (size_t k = 1; k < order.size(); ++k) before_[order[k]] = order[k - 1];
    }
    for (size_t t = 0; t < schedule.transfers.size(); ++t) {
      const Transfer& transfer = schedule.transfers[t];
      transfer_of_[{transfer.tensor, transfer.dst}] = static_cast<int32_t>(t);
    }
  }

  std::vector<ChainLink> Find() {
    std::vector<ChainLink> chain;
    int32_t op = Last();
    while (op >= 0) {
      const int32_t d = schedule_.device[op];
      chain.push_back({op, -1, d, d, schedule_.start[op], schedule_.end[op]});
      op = Cause(op, chain);
    }
    return chain;
  }

 private:
  int32_t Last() const {
    int32_t last = -1;
    for (int32_t i = 0; i < problem_.ops.size(); ++i) {
      if (last < 0 || schedule_.end[i] > schedule_.end[last]) last = i;
    }
    return last;
  }

  // What `op` waited for to the very end: an input, which may have been sent, or the operator
  // before it on its device. Nothing when it began at once.
  int32_t Cause(int32_t op, std::vector<ChainLink>& chain) const {
    const Time start = schedule_.start[op];
    int32_t latest = before_[op];
    Time when = latest >= 0 ? schedule_.end[latest] : -1;
    const Transfer* sent = nullptr;
    for (int32_t e : problem_.ops.InEdges(op)) {
      const int32_t h = problem_.ops.edges[e].src;
      if (schedule_.device[h] == schedule_.device[op]) {
        if (schedule_.end[h] >= when) {
          when = schedule_.end[h];
          latest = h;
          sent = nullptr;
        }
        continue;
      }
      for (int32_t t : problem_.ops.TensorsOf(e)) {
        const Transfer& transfer = schedule_.transfers[transfer_of_.at({t, schedule_.device[op]})];
        if (transfer.end < when) continue;
        when = transfer.end;
        latest = h;
        sent = &transfer;
      }
    }
    if (start == 0 && when <= 0 && !sent) return -1;
    if (sent) chain.push_back({latest, sent->tensor, sent->src, sent->dst, sent->start, sent->end});
    return latest;
  }

  const Problem& problem_;
  const Schedule& schedule_;
  std::vector<int32_t> before_;
  std::map<std::pair<int32_t, int32_t>, int32_t> transfer_of_;
};

// ---- Gantt
// ------------------------------------------------------------------------------------------

constexpr double kWidth = 1060, kLeft = 90, kRow = 30, kHalfRow = 12, kTop = 8;
// Of the kinds of operators of a training step; of other graphs all have the first. Neighbours are
// told apart.
constexpr const char* kStepColors[kStepKinds][2] = {
    {"#0072b2", "#56a3d0"}, {"#7b3294", "#b07cc6"}, {"#4d4d4d", "#8c8c8c"}, {"#b8860b", "#e0b84c"}};
constexpr const char* kSendColor = "#d55e00";
constexpr const char* kReceiveColor = "#009e73";

class Gantt {
 public:
  explicit Gantt(Time makespan)
      : scale_((kWidth - kLeft - 10) / std::max<double>(1, static_cast<double>(makespan))) {}

  double X(Time time) const { return kLeft + static_cast<double>(time) * scale_; }

  // One bar; bars closer than half a pixel become one.
  void Bar(Time start, Time end, double y, double height, const char* color, std::string title) {
    const double from = X(start), to = X(end);
    if (pending_ && color == color_ && y == y_ && from - to_ < 0.5 &&
        (to - from < 1 || to_ - from_ < 1)) {
      to_ = std::max(to_, to);
      ++merged_;
      return;
    }
    Flush();
    pending_ = true;
    from_ = from;
    to_ = to;
    y_ = y;
    height_ = height;
    color_ = color;
    title_ = std::move(title);
    merged_ = 1;
  }

  void Flush() {
    if (!pending_) return;
    body_ +=
        fmt::format(R"(<rect x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" fill="{}"/>)",
                    from_, y_, std::max(0.3, to_ - from_ - 0.15), height_, color_);
    pending_ = false;
  }

  std::string body_;

 private:
  double scale_;
  bool pending_ = false;
  double from_ = 0, to_ = 0, y_ = 0, height_ = 0;
  const char* color_ = "";
  std::string title_;
  int merged_ = 0;
};

std::string Escape(const std::string& text) {
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

}  // namespace

std::vector<DeviceUse> DeviceUses(const Problem& problem, const Schedule& schedule) {
  std::vector<DeviceUse> uses(problem.cluster.size());
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    DeviceUse& use = uses[schedule.device[i]];
    ++use.operators;
    use.busy += schedule.end[i] - schedule.start[i];
  }
  for (const Transfer& transfer : schedule.transfers) {
    const int64_t bytes = problem.ops.tensors[transfer.tensor].bytes;
    uses[transfer.src].sending += transfer.end - transfer.start;
    uses[transfer.src].sent_bytes += bytes;
    uses[transfer.dst].receiving += transfer.end - transfer.start;
    uses[transfer.dst].received_bytes += bytes;
  }
  return uses;
}

std::vector<ChainLink> CriticalChain(const Problem& problem, const Schedule& schedule) {
  return ChainFinder(problem, schedule).Find();
}

std::string ChainInWords(const std::vector<ChainLink>& chain, Time makespan) {
  Time computing = 0, sending = 0;
  int64_t operators = 0, transfers = 0;
  for (const ChainLink& link : chain) {
    (link.tensor < 0 ? computing : sending) += link.end - link.start;
    ++(link.tensor < 0 ? operators : transfers);
  }
  std::string text = fmt::format("{}: {} computing in {} operators", Shown(makespan),
                                 Shown(computing), FormatInteger(operators));
  if (transfers > 0)
    text += fmt::format(", {} in {} transfers", Shown(sending), FormatInteger(transfers));
  const Time waiting = makespan - computing - sending;
  if (waiting > 0) text += fmt::format(", {} waiting for links", Shown(waiting));
  return text;
}

std::string GanttSvg(const Problem& problem, const Schedule& schedule) {
  const int32_t devices = problem.cluster.size();
  const double row = kRow + kHalfRow * 2 + 12;
  const double height = kTop + devices * row + 34;
  Gantt gantt(schedule.makespan);
  std::string text;
  for (int32_t d = 0; d < devices; ++d) {
    const double y = kTop + d * row;
    text += fmt::format(R"(<text x="{}" y="{}" text-anchor="end">{}</text>)", kLeft - 8, y + 20,
                        Escape(problem.cluster.devices[d].name.substr(0, 12)));
    int color = 0;
    for (int32_t i : schedule.order[d]) {
      const int kind = problem.graph.step ? static_cast<int>(problem.graph.step->ops[i].kind) : 0;
      gantt.Bar(schedule.start[i], schedule.end[i], y, kRow, kStepColors[kind][color], "");
      color = 1 - color;
    }
    gantt.Flush();
    for (const bool send : {true, false}) {
      for (const Transfer& t : schedule.transfers) {
        if ((send ? t.src : t.dst) != d) continue;
        gantt.Bar(t.start, t.end, y + kRow + (send ? 2 : 2 + kHalfRow), kHalfRow - 2,
                  send ? kSendColor : kReceiveColor, "");
      }
      gantt.Flush();
    }
  }
  const double span = ToMicroseconds(schedule.makespan) / 1000;  // ms
  const double step = Step(std::max(span, 1e-9));
  const double axis = kTop + devices * row;
  for (double at = 0; at <= span * 1.0001; at += step) {
    const double x = gantt.X(FromMicroseconds(at * 1000));
    text += fmt::format(
        R"(<path d="M{0:.1f} {1}V{2:.1f}" stroke="#d5d9de"/><text x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4:g}</text>)",
        x, kTop, axis, axis + 16, at);
  }
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" font-family="sans-serif" font-size="12" fill="#333"><rect width="100%" height="100%" fill="#fff"/>{2}{3}<text x="{4}" y="{5}" text-anchor="middle">milliseconds</text></svg>)",
      kWidth, height, text, gantt.body_, kWidth / 2, height - 3);
}

}  // namespace orchard::place
