// The frame of a program: subcommands, options from flags and TOML, common flags, help, completion,
// exit codes.
//
//   int main(int argc, char** argv) {
//     cli::Program program({.name = "lemon-expand", .summary = "..."});
//     program.Add<InspectOptions>({.name = "inspect", .summary = "...", .example = "lemon-expand
//     inspect DIR"}, RunInspect); return program.Main(argc, argv);
//   }
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/device.h"
#include "cli/fields.h"

namespace orchard::cli {

// The options that every subcommand has.
struct CommonOptions {
  // Shape the result: keys of the table [common] of files, and flags.
  std::optional<std::filesystem::path> out;  // run directory; unset: none is written
  std::string device = "auto";               // auto | cpu | cuda | cuda:<i>
  int64_t threads = 0;  // 0: SLURM_CPUS_PER_TASK, else all CPUs of this process
  int64_t seed = 0;
  bool deterministic = false;  // CUDA too: same bits in every run

  // Belong to one call: flags only.
  bool json = false;     // machine-readable result on stdout, all else on stderr
  bool dry_run = false;  // check and report, write nothing
  bool force = false;    // overwrite what exists
  bool resume = false;   // continue from the last checkpoint
  bool no_progress = false;
  bool verbose = false;
  bool quiet = false;

  void Fields(FieldVisitor& f);      // of [common]
  void CallFields(FieldVisitor& f);  // flags only

  int Threads() const;  // as asked, or SLURM_CPUS_PER_TASK, or all CPUs of this process
  // The device to use. Asks the driver: call it where tensors are, not before. Throws ResourceError
  // when it is not there.
  Device ResolvedDevice() const;
};

// What a subcommand gets besides its own options.
struct Context {
  std::string program;  // "lemon-expand"
  std::string command;  // "expand"
  CommonOptions common;
  std::string
      config_toml;  // the resolved configuration: fed back with --config it gives the same run
  std::vector<std::string> arguments;  // argv as typed, for provenance
};

struct CommandInfo {
  std::string name;
  std::string summary;       // one line without a full stop
  std::string example;       // works as typed
  std::string details = "";  // more help, shown below the options
};

struct ProgramInfo {
  std::string name;
  std::string summary;
  std::string example = "";
};

class Program {
 public:
  explicit Program(ProgramInfo info);
  ~Program();

  // Adds a subcommand. `run` returns the exit code; errors leave it as exceptions. With no `run`
  // the program's tensor half, libexec/orchard/<program>-tensor, is started in place of this
  // process with the same arguments, once they are found valid.
  template <class Options>
  void Add(CommandInfo info,  // NOLINT(performance-unnecessary-value-param): it is moved
           std::type_identity_t<std::function<int(const Options&, const Context&)>> run = nullptr) {
    auto options = std::make_shared<Options>();
    std::function<int(const Context&)> erased;
    if (run) erased = [options, run](const Context& context) { return run(*options, context); };
    AddErased(
        std::move(info), [options](FieldVisitor& f) { options->Fields(f); }, std::move(erased));
  }

  // Parses, runs, and turns every exception into one line on stderr and an exit code.
  int Main(int argc, const char* const* argv);

 private:
  void AddErased(CommandInfo info, std::function<void(FieldVisitor&)> fields,
                 std::function<int(const Context&)> run);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::cli
