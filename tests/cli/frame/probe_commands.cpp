#include "cli/frame/probe_commands.h"

#include <cstdio>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/logging.h"

namespace orchard::probe {
namespace {

class OutOfMemoryError : public std::runtime_error {  // named as LibTorch's
  using std::runtime_error::runtime_error;
};

int Echo(const EchoOptions&, const cli::Context& context) {
  LogInfo("information");
  LogDebug("detail");
  std::fputs(context.config_toml.c_str(), stdout);
  return 0;
}

int Fail(const FailOptions& options, const cli::Context&) {
  const std::string& how = options.how;
  if (how == "data") throw DataError("header too long", "model.safetensors: offset 8", "fetch it");
  if (how == "impossible") throw ImpossibleError("heads do not divide");
  if (how == "diverged") throw DivergedError("loss is not finite", "step 3");
  if (how == "peer") throw PeerError("rank 1 is gone");
  if (how == "interrupted") throw InterruptedError("stopped", "step 3");
  if (how == "lines") throw DataError("first\nsecond");
  if (how == "memory") throw std::bad_alloc();
  if (how == "tensor-memory") throw OutOfMemoryError("CUDA out of memory.\nstack\ntrace");
  if (how == "disk") throw std::system_error(ENOSPC, std::generic_category(), "write");
  if (how == "bug") throw std::logic_error("index 3 of 2\n#0 frame");
  if (how == "integer") throw 42;
  if (how == "status") {
    ShowStatusLine("50 %");
    throw DataError("stopped half way");
  }
  throw UsageError("unknown way to fail");
}

}  // namespace

void AddCommands(cli::Program& program, const std::string& half) {
  program.Add<EchoOptions>(
      {.name = "echo", .summary = "prints its configuration", .example = "probe echo here"}, Echo);
  program.Add<FailOptions>({.name = "fail", .summary = "throws", .example = "probe fail memory"},
                           Fail);
  std::function<int(const EchoOptions&, const cli::Context&)> tensor;
  if (half == "tensor") {
    tensor = [](const EchoOptions& options, const cli::Context& context) {
      std::printf("tensor half, %s, seed %d\n", options.source.c_str(),
                  static_cast<int>(context.common.seed));
      return 4;
    };
  }
  program.Add<EchoOptions>(
      {.name = "tensor", .summary = "runs in the tensor half", .example = "probe tensor here"},
      tensor);
  program.Add<EchoOptions>(
      {.name = "orphan", .summary = "runs nowhere", .example = "probe orphan here"});
}

}  // namespace orchard::probe
