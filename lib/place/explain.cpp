#include "place/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/number_format.h"
#include "place/host_plan.h"
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
    if (!schedule.host) return;
    fetch_of_.assign(problem.ops.size(), -1);
    for (const auto& fetches : schedule.host->fetches) {
      for (size_t k = 0; k < fetches.size(); ++k) {
        for (int32_t reader : fetches[k].readers) fetch_of_[reader] = static_cast<int32_t>(k);
      }
    }
  }

  std::vector<ChainLink> Find() {
    std::vector<ChainLink> chain;
    int32_t op = Last();
    while (op >= 0) {
      const int32_t d = schedule_.device[op];
      const bool on_host = schedule_.host && schedule_.host->on_host[op];
      chain.push_back({op, -1, d, d, schedule_.start[op], schedule_.end[op],
                       on_host ? HostPart::kUpdate : HostPart::kNone});
      op = on_host ? CauseOfUpdate(op, chain) : Cause(op, chain);
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
    if (!fetch_of_.empty() && fetch_of_[op] >= 0 && FetchSpan(op).end > when)
      return CauseOfFetch(schedule_.device[op], fetch_of_[op], chain);
    if (start == 0 && when <= 0 && !sent) return -1;
    if (sent) chain.push_back({latest, sent->tensor, sent->src, sent->dst, sent->start, sent->end});
    return latest;
  }

  const Span& FetchSpan(int32_t reader) const {
    return schedule_.fetches[schedule_.device[reader]][fetch_of_[reader]];
  }

  // Fetches that waited for each other, and what the first of them waited for.
  int32_t CauseOfFetch(int32_t device, int32_t fetch, std::vector<ChainLink>& chain) const {
    const std::vector<Fetch>& plan = schedule_.host->fetches[device];
    for (int32_t k = fetch;; --k) {
      const Span& span = schedule_.fetches[device][k];
      chain.push_back({plan[k].op, -1, device, device, span.start, span.end, HostPart::kFetch});
      if (span.start == 0) return -1;
      const int32_t after = plan[k].after;
      if (k == 0 || (after >= 0 && schedule_.end[after] == span.start)) return after;
    }
  }

  // The updates before it on the host; then gradients on the way to it, and who made the first.
  int32_t CauseOfUpdate(int32_t update, std::vector<ChainLink>& chain) const {
    const std::vector<WriteBack>& all = schedule_.write_backs;
    const auto gradient_of = [&](int32_t op) {
      return std::find_if(all.begin(), all.end(),
                          [&](const WriteBack& gradient) { return gradient.update == op; });
    };
    auto gradient = gradient_of(update);
    if (gradient->end < schedule_.start[update]) {
      for (const WriteBack& other : all) {
        if (other.update != update && schedule_.end[other.update] == schedule_.start[update])
          return other.update;
      }
    }
    while (true) {
      const int32_t d = gradient->device;
      chain.push_back(
          {gradient->update, -1, d, d, gradient->start, gradient->end, HostPart::kGradient});
      const auto before = std::find_if(all.begin(), all.end(), [&](const WriteBack& other) {
        return other.device == d && other.end == gradient->start &&
               other.update != gradient->update && other.start < gradient->start;
      });
      const int32_t cause = Cause(gradient->update, chain);
      if (before == all.end() || cause < 0 || schedule_.end[cause] >= gradient->start) return cause;
      if (chain.back().tensor >= 0) chain.pop_back();  // its inputs were there before
      gradient = before;
    }
  }

  const Problem& problem_;
  const Schedule& schedule_;
  std::vector<int32_t> before_, fetch_of_;
  std::map<std::pair<int32_t, int32_t>, int32_t> transfer_of_;
};

}  // namespace

std::vector<DeviceUse> DeviceUses(const Problem& problem, const Schedule& schedule) {
  std::vector<DeviceUse> uses(problem.cluster.size());
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    if (schedule.host && schedule.host->on_host[i]) continue;
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
  for (size_t d = 0; d < schedule.fetches.size(); ++d) {
    for (size_t k = 0; k < schedule.fetches[d].size(); ++k) {
      const Span& span = schedule.fetches[d][k];
      uses[d].fetching += span.end - span.start;
      uses[d].fetched_bytes += problem.graph.ops[schedule.host->fetches[d][k].op].perm;
    }
  }
  return uses;
}

std::vector<ChainLink> CriticalChain(const Problem& problem, const Schedule& schedule) {
  return ChainFinder(problem, schedule).Find();
}

std::string ChainInWords(const std::vector<ChainLink>& chain, Time makespan) {
  Time computing = 0, sending = 0, moving = 0, updating = 0;
  int64_t operators = 0, transfers = 0, moves = 0, updates = 0;
  for (const ChainLink& link : chain) {
    const bool host = link.host == HostPart::kUpdate, moved = !host && link.host != HostPart::kNone;
    (host              ? updating
     : moved           ? moving
     : link.tensor < 0 ? computing
                       : sending) += link.end - link.start;
    ++(host ? updates : moved ? moves : link.tensor < 0 ? operators : transfers);
  }
  const auto counted = [](int64_t n, const char* what) {
    return fmt::format("{} {}{}", FormatInteger(n), what, n == 1 ? "" : "s");
  };
  std::string text = fmt::format("{}: {} computing in {}", Shown(makespan), Shown(computing),
                                 counted(operators, "operator"));
  if (transfers > 0)
    text += fmt::format(", {} in {}", Shown(sending), counted(transfers, "transfer"));
  if (moves > 0) {
    text +=
        fmt::format(", {} in {} from or to the host", Shown(moving), counted(moves, "transfer"));
  }
  if (updates > 0)
    text += fmt::format(", {} in {} there", Shown(updating), counted(updates, "update"));
  const Time waiting = makespan - computing - sending - moving - updating;
  if (waiting > 0) text += fmt::format(", {} waiting for links", Shown(waiting));
  return text;
}

}  // namespace orchard::place
