// TorchScript files (.pt, .ts) as programs.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <vector>

#include "execute/input_spec.h"
#include "execute/program.h"

namespace orchard::execute {

// Loads the file onto the CPU, puts the module into evaluation mode, and runs `forward` on made-up
// inputs, node by node. Without `inputs` those stand in the file, where `gen-model` puts them.
//
// Throws DataError when the file is not TorchScript or fails on the inputs; UsageError when there
// are no inputs, or another number than `forward` takes; ImpossibleError as Tape::Run.
Program ReadTorchScript(const std::filesystem::path& path, const std::vector<InputSpec>& inputs,
                        uint64_t seed);

// What the unsplit module returns for the program's example inputs, and, with `train`, the
// gradients of all trainable parameters of `program` for Seed() of its outputs: an independent
// answer to compare with, on the CPU. It is computed on `device`, or where that fails on the CPU:
// rounding differs between kinds of devices, and turns single units of a ReLU on or off.
struct Reference {
  std::vector<at::Tensor> outputs, gradients;
};
Reference RunTorchScript(const std::filesystem::path& path, const Program& program, bool train,
                         c10::Device device = c10::Device(c10::kCPU));

// Gradient that a training step starts from: of the output itself when it is one number, else of
// half its mean square.
at::Tensor Seed(const at::Tensor& output);

}  // namespace orchard::execute
