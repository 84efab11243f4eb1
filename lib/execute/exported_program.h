// Archives of torch.export (.pt2) as programs.
#pragma once

#include <filesystem>
#include <vector>

#include "execute/input_spec.h"
#include "execute/program.h"

namespace orchard::execute {

// Reads the graph (JSON) and the weights of the archive's only model and runs it on made-up inputs,
// call by call. Without `inputs` they have the shapes of the export, integers below 2. Throws
// DataError when the archive is damaged or of another schema than 8, ImpossibleError for calls that
// are no operators of LibTorch (control flow, custom objects) and as Tape::Run.
Program ReadExportedProgram(const std::filesystem::path& path, const std::vector<InputSpec>& inputs,
                            uint64_t seed);

}  // namespace orchard::execute
