// A communicator that measures how long its rank spends in collectives.
#pragma once

#include "comm/stream_communicator.h"

namespace orchard::sync {

// Passes everything on to `inner`, which must outlive it and counts the bytes: the counters here
// stay zero.
class TimedCommunicator : public comm::StreamCommunicator {
 public:
  explicit TimedCommunicator(comm::Communicator& inner)
      : StreamCommunicator(inner.rank(), inner.size()), inner_(inner) {}
  explicit TimedCommunicator(comm::StreamCommunicator& inner)
      : StreamCommunicator(inner.rank(), inner.size()), inner_(inner), stream_(&inner) {}

  std::string_view engine() const override { return inner_.engine(); }
  std::unique_ptr<comm::Communicator> Split(int color) override { return inner_.Split(color); }
  void Synchronize() override;
  comm::Communicator& inner() const { return inner_; }

  // Seconds that this rank was stopped by collectives, the delay of other ranks included: of
  // asynchronous ones those spent waiting for their end.
  double seconds() const { return seconds_; }

 protected:
  comm::Handle Start(comm::Collective call) override;
  void Run(comm::Collective call) override;

 private:
  comm::Handle Pass(const comm::Collective& call);

  comm::Communicator& inner_;
  comm::StreamCommunicator* stream_ = nullptr;  // the same, where it runs beside a stream
  double seconds_ = 0;
};

}  // namespace orchard::sync
