// TorchScript files from source text, for tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "execute/executor.h"
#include "execute/program.h"

namespace orchard::execute {

struct Script {
  std::string source;                                      // of `forward` and other methods
  std::map<std::string, std::vector<int64_t>> parameters;  // random, trained
  std::map<std::string, at::Tensor> buffers;
  std::vector<std::string> inputs;  // as --input
};

// Writes the module to a file of this test and returns its path.
std::filesystem::path WriteScript(const Script& script, const std::string& name);

// The same, read as a program.
Program ReadScript(const Script& script, const std::string& name);

// Devices of groups and of everything else drawn from `draw`, the program's order on each.
Layout RandomLayout(const Program& program, int32_t devices, const std::vector<int>& draw);

// Names of the operators, in order.
std::vector<std::string> Names(const Program& program);

}  // namespace orchard::execute
