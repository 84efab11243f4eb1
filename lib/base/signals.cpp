#include "base/signals.h"

#include <signal.h>

#include <array>
#include <atomic>

namespace orchard {
namespace {

// A handler can reach nothing but globals; this is the one there is.
std::atomic<int> stop_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "needed inside a signal handler");

constexpr std::array kSignals = {SIGTERM, SIGUSR1, SIGINT};

}  // namespace

struct StopSignals::State {
  std::array<struct sigaction, kSignals.size()> previous;
};

StopSignals::StopSignals() : state_(std::make_unique<State>()) {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action = {};
    action.sa_handler = [](int signal) { RequestStop(signal); };
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    if (kSignals[i] == SIGINT) action.sa_flags |= SA_RESETHAND;  // the second Ctrl-C kills
    sigaction(kSignals[i], &action, &state_->previous[i]);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &state_->previous[i], nullptr);
  }
}

bool StopRequested() { return stop_signal.load(std::memory_order_relaxed) != 0; }

int StopSignal() { return stop_signal.load(std::memory_order_relaxed); }

void RequestStop(int signal) {
  int none = 0;
  stop_signal.compare_exchange_strong(none, signal, std::memory_order_relaxed);
}

void ClearStopRequest() { stop_signal.store(0, std::memory_order_relaxed); }

}  // namespace orchard
