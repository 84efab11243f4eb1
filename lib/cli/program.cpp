#include "cli/program.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/logging.h"
#include "base/thread_pool.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/report_error.h"
#include "cli/tensor_half.h"
#include "cli/toml_file.h"
#include "cli/value.h"

namespace orchard::cli {
namespace {

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// What was printed must have arrived: a full disk behind `> file` is an error, too.
void FlushOutput() {
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout) {
    throw ResourceError("the result could not be written", "standard output",
                        std::generic_category().message(errno));
  }
}

std::string VersionText(const std::string& program) {
  const Versions& v = BuildVersions();
  return program + " " + v.orchard + " (" + v.revision + ")\nLibTorch " + v.libtorch + "\nCUDA " +
         v.cuda + "\nMPI " + v.mpi + "\nHDF5 " + v.hdf5 + "\nOpenCV " + v.opencv + "\n";
}

std::vector<std::string> Names(std::span<const Command> commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.info.name);
  return names;
}

std::string AllNames(std::span<const Command> commands) {
  std::string text;
  for (const std::string& name : Names(commands)) text += (text.empty() ? "" : ", ") + name;
  return text;
}

LogLevel LevelOf(const CommonOptions& common) {
  if (common.verbose && common.quiet) {
    throw UsageError("--verbose and --quiet exclude each other");
  }
  return common.verbose ? LogLevel::kDebug : common.quiet ? LogLevel::kError : LogLevel::kInfo;
}

}  // namespace

void CommonOptions::Fields(FieldVisitor& f) {
  f("out", out, "run directory: configuration, metrics, report, checkpoints");
  Constraint devices;
  devices.suggestions = "auto cpu cuda cuda:0";
  f("device", device, "where tensors live: auto, cpu, cuda or cuda:<i>", devices);
  f("threads", threads, "CPU threads; 0: SLURM_CPUS_PER_TASK, else all CPUs", Between(0, 4096));
  f("seed", seed, "seed of all random numbers", AtLeast(0));
  f("deterministic", deterministic, "the same bits in every run on CUDA, too");
}

void CommonOptions::CallFields(FieldVisitor& f) {
  f("json", json, "machine-readable result on stdout, all else on stderr");
  f("dry_run", dry_run, "check and report, write nothing");
  f("force", force, "overwrite what exists");
  f("resume", resume, "continue from the last checkpoint");
  f("no_progress", no_progress, "no progress line");
  f("verbose", verbose, "more messages");
  f("quiet", quiet, "no messages but errors");
}

int CommonOptions::Threads() const {
  return threads > 0 ? static_cast<int>(threads) : DefaultThreads();
}

Device CommonOptions::ResolvedDevice() const { return ResolveDevice(device); }

struct Program::State {
  ProgramInfo info;
  std::vector<Command> commands;

  // Tables for printing: nothing is resolved in them.
  std::vector<FieldTable> Tables(CommonOptions& common) const {
    std::vector<FieldTable> tables;
    for (const Command& command : commands) tables.push_back(MakeTable(command, common));
    return tables;
  }

  int RunFrameFlag(std::span<const std::string> arguments) const;
  int RunCommand(const Command& command, const std::vector<std::string>& argv) const;
  int Dispatch(const std::vector<std::string>& argv) const;
};

int Program::State::RunFrameFlag(std::span<const std::string> arguments) const {
  const std::string& flag = arguments[0];
  CommonOptions common;
  if (flag == "--help" || flag == "-h") {
    Print(ProgramHelp(info, commands));
  } else if (flag == "--version") {
    Print(VersionText(info.name));
  } else if (flag == "--help-markdown") {
    const std::vector<FieldTable> tables = Tables(common);
    for (size_t i = 0; i < commands.size(); ++i) {
      Print(CommandMarkdown(info, commands[i].info, tables[i]));
    }
    if (!tables.empty()) Print(CommonMarkdown(tables[0]));
  } else if (flag == "--completion" || flag == "--completion=bash") {
    if (flag == "--completion" && (arguments.size() < 2 || arguments[1] != "bash")) {
      throw UsageError("unknown shell", "--completion", "use --completion bash");
    }
    Print(BashCompletion(info, commands, Tables(common)));
  } else {
    const std::vector<std::string> flags = {"--help", "--version", "--completion"};
    const std::string name = flag.substr(0, flag.find('='));
    throw UsageError("unknown flag before the subcommand", name,
                     DidYouMean(Nearest(name, flags), "options stand after the subcommand"));
  }
  return 0;
}

int Program::State::RunCommand(const Command& command, const std::vector<std::string>& argv) const {
  Context context;
  context.program = info.name;
  context.command = command.info.name;
  context.arguments = argv;
  FieldTable table = MakeTable(command, context.common);
  const Request request = Resolve({argv.begin() + 2, argv.end()}, table);
  if (request.help) {
    Print(CommandHelp(info, command.info, table));
    return 0;
  }
  const LogLevel level = LevelOf(context.common);
  CheckDeviceName(context.common.device);
  context.config_toml =
      WriteConfig(table, "Configuration of `" + info.name + " " + command.info.name +
                             "`; to run it again: " + info.name + " " + command.info.name +
                             " --config THIS_FILE");
  if (request.print_config) {
    Print(context.config_toml);
    return 0;
  }
  CheckRequired(table);
  if (!command.run) StartTensorHalf(info.name, argv);
  SetLogLevel(level);
  return command.run(context);
}

int Program::State::Dispatch(const std::vector<std::string>& argv) const {
  if (argv.size() < 2) {
    throw UsageError("a subcommand is missing", "", "use one of " + AllNames(commands));
  }
  if (argv[1].starts_with('-')) return RunFrameFlag(std::span(argv).subspan(1));
  for (const Command& command : commands) {
    if (command.info.name == argv[1]) return RunCommand(command, argv);
  }
  const std::string nearest = Nearest(argv[1], Names(commands));
  throw UsageError("unknown subcommand", "'" + argv[1] + "'",
                   DidYouMean(nearest, "use one of " + AllNames(commands)));
}

Program::Program(ProgramInfo info) : state_(std::make_unique<State>()) {
  state_->info = std::move(info);
}
Program::~Program() = default;

void Program::AddErased(CommandInfo info, std::function<void(FieldVisitor&)> fields,
                        std::function<int(const Context&)> run) {
  state_->commands.push_back({std::move(info), std::move(fields), std::move(run)});
}

int Program::Main(int argc, const char* const* argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  SetLogPrefix(state_->info.name);
  try {
    const int code = state_->Dispatch(arguments);
    FlushOutput();
    return code;
  } catch (...) {
    const Failure failure = Describe(std::current_exception());
    ShowStatusLine("");
    LogError(failure.message);
    // The command line may be what is wrong, so --json is looked for in the words themselves.
    if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end()) {
      Print(FailureJson(failure) + "\n");
    }
    std::fflush(stdout);
    return static_cast<int>(failure.code);
  }
}

}  // namespace orchard::cli
