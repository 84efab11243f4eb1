// The communicators of a training job: of the algorithm, of evaluation and checkpoints, and in
// hierarchical mode of the node; their bytes and their time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "comm/traffic.h"
#include "sync/node_communicator.h"
#include "sync/timed_communicator.h"

namespace orchard::sync {

class JobRanks {
 public:
  // A collective call. `world` must outlive it.
  //   per_node  ranks that average gradients among them and then train as one; 0 or 1: each for
  //             itself
  // Throws UsageError when the ranks cannot be divided so.
  JobRanks(comm::Communicator& world, int64_t per_node);

  int rank() const { return world_.rank(); }
  int size() const { return world_.size(); }
  std::string_view engine() const { return world_.engine(); }
  bool hierarchical() const { return node_ != nullptr; }
  // What the algorithm talks to: the ranks, or in hierarchical mode the nodes.
  comm::Communicator& algorithm() { return *timed_; }
  // Of all ranks; its bytes are not those of training.
  comm::Communicator& control() { return *control_; }

  // Of the same ranks, for the memory of a device. Its time and bytes count with the algorithm's.
  comm::StreamCommunicator& AddDeviceRanks(std::unique_ptr<comm::StreamCommunicator> ranks);

  // Throws PeerError unless all give the same text of lines `key = value`, with the first key that
  // differs, both values and a rank. A collective call.
  void RequireSame(const std::string& text);
  // The text of rank `root`, on every rank.
  std::string BroadcastText(std::string text, int root = 0);

  // In hierarchical mode the mean over the ranks of the node, in place; else nothing.
  void AverageInNode(std::span<float> gradient);

  // Seconds this rank has spent in collectives of training, waiting for others included.
  double seconds() const {
    return timed_->seconds() + (node_timed_ ? node_timed_->seconds() : 0) +
           (device_timed_ ? device_timed_->seconds() : 0);
  }
  // Bytes of training: between the algorithm's ranks, and within the node.
  comm::Traffic traffic() const;
  // About what Ethernet carries of it (comm::EthernetBytes).
  int64_t sent_on_ethernet() const { return comm::EthernetBytes(timed_->inner()); }
  int64_t sent_in_node() const { return node_ ? node_->traffic().sent : 0; }

 private:
  comm::Communicator& world_;
  std::unique_ptr<comm::Communicator> control_, node_, across_;
  std::unique_ptr<comm::StreamCommunicator> device_;
  std::unique_ptr<NodeCommunicator> nodes_;
  std::unique_ptr<TimedCommunicator> timed_, node_timed_, device_timed_;
};

// Collective time of single steps, and how much of it is waiting: the rank that came last to a
// step's collectives hardly waits, so the shortest time over ranks is that of the wire.
class WaitMeter {
 public:
  void Add(double seconds) { steps_.push_back(seconds); }
  struct Split {
    double wire = 0, wait = 0;  // seconds of this rank since the last call
  };
  // A collective call, after the same steps on all ranks.
  Split Take(comm::Communicator& control);

 private:
  std::vector<double> steps_;
};

}  // namespace orchard::sync
