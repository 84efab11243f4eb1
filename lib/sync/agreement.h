// What two ranks that should have been started alike differ in.
#pragma once

#include <optional>
#include <string>

namespace orchard::sync {

struct Disagreement {
  std::string key;           // "compress.ratio"
  std::string first, other;  // its values; "nothing" where there is none
};

// The first key that differs between two texts of lines `key = value` under lines `[section]`, in
// the order of the first text; comments and empty lines do not count. Nothing where none does.
std::optional<Disagreement> FirstDisagreement(const std::string& first, const std::string& other);

}  // namespace orchard::sync
