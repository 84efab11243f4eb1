// Starts the ranks of a job: the one place that knows which engine runs it.
#pragma once

#include <cstdint>
#include <functional>

#include "cli/fields.h"
#include "comm/communicator.h"

namespace orchard::comm {

struct RankOptions {
  int64_t ranks = 0;  // 0: what the launcher started, or one
  void Fields(cli::FieldVisitor& f) {
    f("ranks", ranks,
      "ranks to simulate in this process; under mpirun or srun, what it must have started",
      cli::AtLeast(0));
  }
};

// Calls `body` with this process's communicator: MPI under mpirun or srun, simulated ranks for
// --ranks N, else one process. A simulation calls it N times. Throws what body throws; UsageError
// when --ranks contradicts the launcher.
void RunRanks(const RankOptions& ranks, const std::function<void(Communicator&)>& body,
              const EngineOptions& options = {});

}  // namespace orchard::comm
