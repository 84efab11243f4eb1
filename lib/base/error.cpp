#include "base/error.h"

namespace orchard {
namespace {

std::string Sentence(const std::string& what, const std::string& where, const std::string& remedy) {
  std::string text = what;
  if (!where.empty()) text += ": " + where;
  if (!remedy.empty()) text += " (" + remedy + ")";
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';  // the promise is one line, whatever a file name holds
  }
  return text;
}

}  // namespace

Error::Error(ExitCode code, const std::string& what, const std::string& where,
             const std::string& remedy)
    : std::runtime_error(Sentence(what, where, remedy)), code_(code) {}

}  // namespace orchard
