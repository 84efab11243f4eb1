// What every fuzz target asks of a reader: it returns something sound, or throws an error that
// blames the input.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "base/error.h"

namespace orchard::fuzz {

// Ends the process, which is how a fuzzer notices, when a promise is broken.
inline void Expect(bool condition, const char* promise) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// Runs `read`; errors of the input are fine, errors of the program are not.
template <class Read>
void ExpectInputErrors(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    Expect(error.code() == ExitCode::kData || error.code() == ExitCode::kImpossible, error.what());
    for (const char* c = error.what(); *c; ++c)
      Expect(*c != '\n' && *c != '\x1b', "messages are one plain line");
  }
}

}  // namespace orchard::fuzz
