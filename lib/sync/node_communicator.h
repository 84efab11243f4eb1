// Nodes of several ranks as one rank each: what an algorithm sees in hierarchical mode. The ranks
// of a node hold the same values in all buffers, so each carries a part of a sum across the nodes.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace orchard::sync {

// Its rank is the number of the node, its size the number of nodes, and its counters count what
// this rank sends to other nodes. Collectives are done when they return.
class NodeCommunicator : public comm::Communicator {
 public:
  //   node    the ranks of this node
  //   across  the ranks with the same place in their nodes
  // Both must outlive it.
  NodeCommunicator(comm::Communicator& node, comm::Communicator& across)
      : Communicator(across.rank(), across.size()), node_(node), across_(across) {}

  std::string_view engine() const override { return across_.engine(); }
  // Not provided: throws Error.
  std::unique_ptr<Communicator> Split(int color) override;

 protected:
  comm::Handle Start(comm::Collective call) override;

 private:
  void Perform(const comm::Collective& call);
  void AllReduce(const comm::Buffer& buffer);

  comm::Communicator& node_;
  comm::Communicator& across_;
};

}  // namespace orchard::sync
