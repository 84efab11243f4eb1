// The frame of a program: subcommands, options from flags and TOML, common flags, help, exit codes.
//
//   int main(int argc, char** argv) {
//     cli::Program program({.name = "lemon-expand", .summary = "..."});
//     program.Add<InspectOptions>({.name = "inspect", .summary = "...", .example = "lemon-expand inspect DIR"}, RunInspect);
//     return program.Main(argc, argv);
//   }
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"

namespace orchard::cli {

// The options that every subcommand has.
struct CommonOptions {
  std::optional<std::string> out;      // run directory; empty: none is written
  std::string device = "auto";         // auto | cpu | cuda | cuda:<i>
  int64_t threads = 0;                 // 0: SLURM_CPUS_PER_TASK, else all CPUs of this process
  int64_t seed = 0;
  bool deterministic = false;          // CUDA too: same bits in every run
  bool json = false;                   // machine-readable result on stdout, all else on stderr
  bool dry_run = false;                // check and report, write nothing
  bool force = false;                  // overwrite what exists
  bool resume = false;                 // continue from the last checkpoint
  bool no_progress = false;
  bool verbose = false;
  bool quiet = false;
  void Fields(FieldVisitor& f);
};

// What a subcommand gets besides its own options.
struct Context {
  std::string program;       // "lemon-expand"
  std::string command;       // "expand"
  CommonOptions common;
  std::string config_toml;   // the resolved configuration: fed back with --config it gives the same run
  std::vector<std::string> arguments;  // argv as typed, for provenance
};

struct CommandInfo {
  std::string name;
  std::string summary;      // one line
  std::string example;      // works as typed
  std::string details;      // more help, shown below the options; may be empty
};

struct ProgramInfo {
  std::string name;
  std::string summary;
  std::string example;
};

class Program {
 public:
  explicit Program(ProgramInfo info);
  ~Program();

  // Adds a subcommand. `run` returns the exit code; errors leave it as exceptions. With no `run` the program's tensor half,
  // libexec/orchard/<program>-tensor, is started in place of this process with the same arguments.
  template <class Options>
  void Add(CommandInfo info, std::function<int(const Options&, const Context&)> run = nullptr) {
    auto options = std::make_shared<Options>();
    AddErased(std::move(info), [options](FieldVisitor& f) { options->Fields(f); },
              run ? [options, run](const Context& context) { return run(*options, context); }
                  : std::function<int(const Context&)>());
  }

  // Parses, runs, and turns every exception into one line on stderr and an exit code.
  int Main(int argc, char** argv);

 private:
  void AddErased(CommandInfo info, std::function<void(FieldVisitor&)> fields,
                 std::function<int(const Context&)> run);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::cli
