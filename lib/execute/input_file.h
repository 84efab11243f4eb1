// The shapes of a model's inputs inside its TorchScript file: one per line.
#pragma once

#include <string>
#include <vector>

#include "execute/input_spec.h"

namespace orchard::execute {

inline constexpr char kInputFile[] = "orchard_inputs";

inline std::vector<InputSpec> ParseInputFile(const std::string& text) {
  std::vector<InputSpec> inputs;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) inputs.push_back(ParseInputSpec(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return inputs;
}

}  // namespace orchard::execute
