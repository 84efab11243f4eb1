#include "place/host_channels.h"

#include <algorithm>

namespace orchard::place {

HostChannels::HostChannels(const HostPlan& plan, const Graph& graph, const TaskGraph& tasks,
                           const Cluster& cluster, std::span<const int32_t> device)
    : plan_(plan),
      graph_(graph),
      tasks_(tasks),
      cluster_(cluster),
      device_(device),
      ended_(tasks.size(), 0),
      links_(cluster.size()),
      fetches_(cluster.size()) {}

void HostChannels::UpdateReady(int32_t task, Time now) {
  links_[device_[task]].gradients.push_back({now, tasks_.topo[task], task});
}

HostChannels::Waiting HostChannels::TakeFirst(std::vector<Waiting>& list) {
  const auto first = std::min_element(list.begin(), list.end());
  const Waiting taken = *first;
  list.erase(first);
  return taken;
}

void HostChannels::Start(Time now) {
  for (int32_t d = 0; d < cluster_.size(); ++d) {
    Link& link = links_[d];
    if (link.fetch_end == kNever && link.next_fetch < plan_.fetches[d].size()) {
      const Fetch& fetch = plan_.fetches[d][link.next_fetch];
      if (fetch.after < 0 || ended_[fetch.after]) {
        link.fetch_end = now + cluster_.HostCost(graph_.ops[fetch.op].perm, d);
        fetches_[d].push_back({now, link.fetch_end});
      }
    }
    if (link.writing < 0 && !link.gradients.empty()) {
      link.writing = TakeFirst(link.gradients).task;
      link.write_end = now + cluster_.HostCost(plan_.gradient_bytes[link.writing], d);
      write_backs_.push_back({link.writing, d, now, link.write_end});
    }
  }
  if (updating_ < 0 && !updates_.empty()) {
    updating_ = TakeFirst(updates_).task;
    update_start_ = now;
    update_end_ = now + plan_.host_work[updating_];
  }
}

Time HostChannels::NextEnd() const {
  Time next = update_end_;
  for (const Link& link : links_) next = std::min({next, link.fetch_end, link.write_end});
  return next;
}

void HostChannels::End(Time now, const std::function<void(int32_t)>& fetched,
                       const std::function<void(int32_t, Time)>& updated) {
  if (update_end_ == now) {
    updated(updating_, update_start_);
    updating_ = -1;
    update_end_ = kNever;
  }
  for (int32_t d = 0; d < cluster_.size(); ++d) {
    Link& link = links_[d];
    if (link.fetch_end == now) {
      link.fetch_end = kNever;
      for (int32_t reader : plan_.fetches[d][link.next_fetch++].readers) fetched(reader);
    }
    if (link.write_end == now) {
      updates_.push_back({now, tasks_.topo[link.writing], link.writing});
      link.writing = -1;
      link.write_end = kNever;
    }
  }
}

}  // namespace orchard::place
