// A polite stop: SIGTERM, SIGUSR1 (SLURM's --signal) and the first Ctrl-C set a flag that training
// loops poll between steps.
#pragma once

#include <memory>

namespace orchard {

// While one of these lives, SIGTERM, SIGUSR1 and SIGINT ask for a stop instead of ending the
// process; a second SIGINT ends it. Hold it only around loops that poll `StopRequested`, so that
// everything else stays easy to kill. The earlier handlers come back at the end; the request stays.
// One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True once a stop was asked for. Async-signal-safe and cheap enough for every step.
bool StopRequested();

// The signal that asked first; 0 when none did.
int StopSignal();

// Asks for a stop as a signal would: for a peer that passes on what it received. Async-signal-safe.
void RequestStop(int signal);

// Forgets the request: for a process that goes on to other work.
void ClearStopRequest();

}  // namespace orchard
