#include "sync/job_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "sync/agreement.h"

namespace orchard::sync {

JobRanks::JobRanks(comm::Communicator& world, int64_t per_node)
    : world_(world), control_(world.Split(0)) {
  if (per_node <= 1) {
    timed_ = std::make_unique<TimedCommunicator>(world);
    return;
  }
  if (world.size() % per_node != 0) {
    throw UsageError(
        fmt::format("{} ranks are no whole number of nodes of {}", world.size(), per_node),
        "run.ranks_per_node", "a divisor of the number of ranks");
  }
  const int node = world.rank() / static_cast<int>(per_node);
  node_ = world.Split(node);
  across_ = world.Split(world.rank() % static_cast<int>(per_node));
  nodes_ = std::make_unique<NodeCommunicator>(*node_, *across_);
  timed_ = std::make_unique<TimedCommunicator>(*nodes_);
  node_timed_ = std::make_unique<TimedCommunicator>(*node_);
}

comm::StreamCommunicator& JobRanks::AddDeviceRanks(
    std::unique_ptr<comm::StreamCommunicator> ranks) {
  device_ = std::move(ranks);
  device_timed_ = std::make_unique<TimedCommunicator>(*device_);
  return *device_timed_;
}

comm::Traffic JobRanks::traffic() const {
  comm::Traffic traffic = timed_->inner().traffic();
  if (device_ == nullptr) return traffic;
  const comm::Traffic more = device_->traffic();
  return {traffic.calls + more.calls, traffic.sent + more.sent, traffic.received + more.received};
}

void JobRanks::RequireSame(const std::string& text) {
  const std::string own = Sha256Hex(std::as_bytes(std::span(text)));
  std::string all(own.size() * static_cast<size_t>(size()), ' ');
  const std::vector<int64_t> counts(static_cast<size_t>(size()), std::ssize(own));
  control_->AllGather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)),
                      counts);
  for (int r = 1; r < size(); ++r) {
    if (all.compare(own.size() * static_cast<size_t>(r), own.size(), all, 0, own.size()) == 0) {
      continue;
    }
    const std::string first = BroadcastText(text), other = BroadcastText(text, r);
    const auto d = FirstDisagreement(first, other);
    throw PeerError("ranks disagree on " + (d ? d->key : std::string("the configuration")),
                    d ? fmt::format("{} on rank 0, {} on rank {}", d->first, d->other, r)
                      : fmt::format("rank {} differs from rank 0", r),
                    "start all ranks with the same options and files");
  }
}

std::string JobRanks::BroadcastText(std::string text, int root) {
  std::array<double, 1> size = {static_cast<double>(text.size())};
  control_->Broadcast(std::span<double>(size), root);
  text.resize(static_cast<size_t>(size[0]));
  if (!text.empty()) control_->Broadcast(std::as_writable_bytes(std::span<char>(text)), root);
  return text;
}

void JobRanks::AverageInNode(std::span<float> gradient) {
  if (!hierarchical()) return;
  node_timed_->AllReduce(gradient);
  const float mean = 1.0f / static_cast<float>(node_->size());
  for (float& g : gradient) g *= mean;
}

WaitMeter::Split WaitMeter::Take(comm::Communicator& control) {
  const size_t count = steps_.size();
  std::vector<double> all(count * static_cast<size_t>(control.size()));
  const std::vector<int64_t> counts(static_cast<size_t>(control.size()), std::ssize(steps_));
  control.AllGather(std::span<const double>(steps_), std::span<double>(all), counts);
  Split split;
  for (size_t i = 0; i < count; ++i) {
    double shortest = steps_[i];
    for (size_t at = i; at < all.size(); at += count) shortest = std::min(shortest, all[at]);
    split.wire += shortest;
    split.wait += steps_[i] - shortest;
  }
  steps_.clear();
  return split;
}

}  // namespace orchard::sync
