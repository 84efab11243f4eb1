#include "io/json_position.h"

namespace orchard::io {

std::string JsonReason(std::string_view what) {
  if (const size_t bracket = what.find("] "); bracket != what.npos) what.remove_prefix(bracket + 2);
  if (what.starts_with("parse error at ")) {
    if (const size_t colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
  }
  return std::string(what);
}

}  // namespace orchard::io
