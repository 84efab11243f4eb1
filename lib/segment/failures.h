// failures.json: which cases of a folder failed, and why (docs/formats.md).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace orchard::segment {

struct Failure {
  std::string name;  // of the case
  std::filesystem::path input;
  std::string error;
  int exit_code = 0;  // of the error
};

// Writes `folder`/failures.json, making the folder; with no failures, removes that of an earlier
// run. Throws what WriteFileAtomically throws.
void WriteFailures(const std::filesystem::path& folder, const std::vector<Failure>& failures);

}  // namespace orchard::segment
