// From an exception to one line and an exit code.
#pragma once

#include <exception>
#include <string>

#include "base/error.h"

namespace orchard::cli {

struct Failure {
  std::string message;  // one line: "what is wrong: where (what to do)"
  ExitCode code = ExitCode::kInternal;
};

// Errors carry their code; out of memory or disk is kResource; every other exception is a bug,
// kInternal, of which only the first line is kept (LibTorch appends stack traces).
Failure Describe(std::exception_ptr exception);

// The object that --json prints in place of a result: {"error": message, "exit_code": n}.
std::string FailureJson(const Failure& failure);

}  // namespace orchard::cli
