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

}  // namespace orchard::place
