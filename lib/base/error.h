// The error type of the toolkit. Library code throws; only cli/ catches and turns an Error into one
// line and an exit code.
#pragma once

#include <stdexcept>
#include <string>

namespace orchard {

// One table for all programs (docs/conventions.md).
enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,    // a bug in Orchard
  kUsage = 2,       // command line or configuration
  kData = 3,        // an input file is damaged or not what it claims; names file and place
  kImpossible = 4,  // the task as asked cannot be done, its verification failed, or some cases of a
                    // batch failed
  kDiverged = 5,    // a loss or weight became non-finite
  kPeer = 6,        // another rank, communication or security
  kResource = 7,    // memory, disk or device
  kInterrupted = 75  // stopped by a signal with a checkpoint written; run again with --resume
};

// What a user is told: `what is wrong: where (what to do)`.
//   what    the problem, lower case, no full stop
//   where   file and place, option or tensor; may be empty
//   remedy  what to do about it; may be empty
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what, const std::string& where = "",
        const std::string& remedy = "");
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// One type per exit code that library code raises, so that a throw says what kind of failure it is.
struct UsageError : Error {
  explicit UsageError(const std::string& what, const std::string& where = "",
                      const std::string& remedy = "")
      : Error(ExitCode::kUsage, what, where, remedy) {}
};
struct DataError : Error {
  explicit DataError(const std::string& what, const std::string& where = "",
                     const std::string& remedy = "")
      : Error(ExitCode::kData, what, where, remedy) {}
};
struct ImpossibleError : Error {
  explicit ImpossibleError(const std::string& what, const std::string& where = "",
                           const std::string& remedy = "")
      : Error(ExitCode::kImpossible, what, where, remedy) {}
};
struct DivergedError : Error {
  explicit DivergedError(const std::string& what, const std::string& where = "",
                         const std::string& remedy = "")
      : Error(ExitCode::kDiverged, what, where, remedy) {}
};
struct PeerError : Error {
  explicit PeerError(const std::string& what, const std::string& where = "",
                     const std::string& remedy = "")
      : Error(ExitCode::kPeer, what, where, remedy) {}
};
struct ResourceError : Error {
  explicit ResourceError(const std::string& what, const std::string& where = "",
                         const std::string& remedy = "")
      : Error(ExitCode::kResource, what, where, remedy) {}
};

// Raised after SIGTERM or SIGUSR1 once the checkpoint is on disk.
struct InterruptedError : Error {
  explicit InterruptedError(const std::string& what, const std::string& where = "",
                            const std::string& remedy = "run again with --resume")
      : Error(ExitCode::kInterrupted, what, where, remedy) {}
};

}  // namespace orchard
