#include "expand/memory_peak.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace orchard::expand {

int64_t AnonymousMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  }
  return 0;
}

struct MemoryPeak::State {
  int64_t before = 0;
  std::atomic<int64_t> peak = 0;
  std::atomic<bool> stop = false;
  std::thread watcher;
};

MemoryPeak::MemoryPeak() : state_(std::make_unique<State>()) {
  malloc_trim(0);  // what earlier work freed is not to hide what comes
  state_->before = AnonymousMemory();
  state_->peak = state_->before;
  state_->watcher = std::thread([state = state_.get()] {
    while (!state->stop) {
      state->peak = std::max(state->peak.load(), AnonymousMemory());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
}

MemoryPeak::~MemoryPeak() { Stop(); }

int64_t MemoryPeak::Stop() {
  state_->stop = true;
  if (state_->watcher.joinable()) state_->watcher.join();
  return state_->peak - state_->before;
}

}  // namespace orchard::expand
