#include "comm/launch.h"

#include <string>

#include "base/error.h"
#include "comm/mpi.h"
#include "comm/simulated.h"

namespace orchard::comm {

void RunRanks(const RankOptions& ranks, const std::function<void(Communicator&)>& body,
              const EngineOptions& options) {
  if (LaunchedByMpi()) {
    RunMpi(
        [&](Communicator& communicator) {
          if (ranks.ranks != 0 && ranks.ranks != communicator.size()) {
            throw UsageError("the launcher started " + std::to_string(communicator.size()) +
                                 " ranks, not " + std::to_string(ranks.ranks),
                             "--ranks", "leave --ranks out under mpirun and srun");
          }
          body(communicator);
        },
        options);
  } else if (ranks.ranks > 1) {
    RunSimulated(static_cast<int>(ranks.ranks), body, options);
  } else {
    const std::unique_ptr<Communicator> one = OneProcess();
    body(*one);
  }
}

}  // namespace orchard::comm
