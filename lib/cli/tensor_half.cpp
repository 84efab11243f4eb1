#include "cli/tensor_half.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/error.h"

namespace orchard::cli {

std::filesystem::path TensorHalf(const std::string& program) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return self.parent_path().parent_path() / "libexec/orchard" / (program + "-tensor");
}

void StartTensorHalf(const std::string& program, const std::vector<std::string>& arguments) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  if (self.filename() == program + "-tensor") {
    throw Error(ExitCode::kInternal, "the command is not built into the tensor half",
                self.string());
  }
  const std::filesystem::path half = TensorHalf(program);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  execv(half.c_str(), argv.data());
  const int code = errno;
  if (code == ENOENT) {
    throw Error(ExitCode::kInternal, "the half of the program that works on tensors is missing",
                half.string(), "build or install " + half.filename().string() + " there");
  }
  throw Error(ExitCode::kInternal, "the tensor half cannot be started", half.string(),
              std::generic_category().message(code));
}

}  // namespace orchard::cli
