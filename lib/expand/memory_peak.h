// How much memory of its own this process takes while something runs. Pages of mapped files do not
// count: the system drops them when it needs the space.
#pragma once

#include <cstdint>
#include <memory>

namespace orchard::expand {

// Anonymous memory of this process now, in bytes. 0 where the system does not tell.
int64_t AnonymousMemory();

// Watches from its making until `Stop`, every millisecond.
class MemoryPeak {
 public:
  MemoryPeak();
  ~MemoryPeak();
  // Largest growth over what the process had when watching began, in bytes.
  int64_t Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::expand
