// Another program run to its end, with what it printed.
#pragma once

#include <string>
#include <vector>

namespace orchard {

struct ProcessOutcome {
  int exit_code = 0;  // 128 + signal where a signal ended it
  std::string out, error;
};

// Runs command[0], found on PATH where it has no slash, without a shell. Throws ResourceError when
// it cannot be started.
ProcessOutcome RunProcess(const std::vector<std::string>& command);

}  // namespace orchard
