// The second executable of a program, which is linked to LibTorch: started in place of the first
// for commands on tensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace orchard::cli {

// libexec/orchard/<program>-tensor beside the bin/ of this executable.
std::filesystem::path TensorHalf(const std::string& program);

// Replaces this process by the tensor half with the same arguments. Returns only by throwing: an
// Error when it is missing or cannot be started, and when this process is the tensor half already.
[[noreturn]] void StartTensorHalf(const std::string& program,
                                  const std::vector<std::string>& arguments);

}  // namespace orchard::cli
