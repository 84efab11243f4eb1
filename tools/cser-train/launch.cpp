// cser-train launch: the ranks of a job on this machine, over memory or over shaped links.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "base/number_format.h"
#include "comm/mpirun.h"
#include "cser-train/commands.h"

namespace orchard::cser_train {
namespace {

nlohmann::json ToJson(const comm::JobOutcome& outcome, const comm::LaunchOptions& options) {
  nlohmann::json json = {{"exit_code", outcome.exit_code},
                         {"seconds", outcome.seconds},
                         {"rate", *options.netns},
                         {"delay_ms", options.delay_ms},
                         {"ranks", nlohmann::json::array()}};
  for (const comm::LinkBytes& link : outcome.links) {
    json["ranks"].push_back({{"sent", link.sent}, {"received", link.received}});
  }
  return json;
}

// This program with what stands after `--`, or another one. Each rank of this program keeps to its
// part of the CPUs, unless it is told otherwise.
std::vector<std::string> Command(const comm::LaunchOptions& options, const cli::Context& context,
                                 int threads) {
  std::vector<std::string> words = comm::CommandAfterMark(context.arguments);
  if (options.program) {
    words.insert(words.begin(), *options.program);
    return words;
  }
  words.insert(words.begin(), std::filesystem::read_symlink("/proc/self/exe").string());
  const bool told = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "--threads" || word.starts_with("--threads=");
  });
  if (!told) words.insert(words.end(), {"--threads", std::to_string(threads)});
  return words;
}

// Runs the job, and again with a rank fewer while ranks are killed and more may be. The exit code
// tells: what ranks find wrong themselves (options, data, divergence) has codes below 128 and would
// come again.
comm::JobOutcome RunToTheEnd(comm::LaunchOptions options, std::vector<std::string> command,
                             int threads) {
  for (int64_t lost = 0;; ++lost) {
    comm::JobOutcome outcome = comm::RunJob(options, command, threads);
    const bool killed = outcome.exit_code > 128 && !outcome.asked_to_stop;
    if (!killed || lost == options.max_lost || options.ranks == 1) return outcome;
    --options.ranks;
    LogWarning(
        fmt::format("a rank was killed (exit code {}): going on with {} {} from the last "
                    "checkpoint",
                    outcome.exit_code, options.ranks, options.ranks == 1 ? "rank" : "ranks"));
    std::erase(command, "--force");
    if (std::find(command.begin(), command.end(), "--resume") == command.end()) {
      command.emplace_back("--resume");
    }
  }
}

}  // namespace

int RunLaunch(const comm::LaunchOptions& options, const cli::Context& context) {
  if (!options.netns && (options.links || options.delay_ms > 0)) {
    throw UsageError("only links of one's own are measured and delayed",
                     options.links ? "--links" : "--delay-ms", "with --netns RATE");
  }
  if (options.max_lost > 0 &&
      (options.program || comm::CommandAfterMark(context.arguments).front() != "train")) {
    throw UsageError("only train has checkpoints to go on from", "--max-lost");
  }
  // The rank's share, where --threads does not say how many each gets.
  const int threads = context.common.threads > 0
                          ? static_cast<int>(context.common.threads)
                          : comm::ThreadsPerRank(context.common.Threads(), options.ranks);
  const std::vector<std::string> command = Command(options, context, threads);
  if (context.common.dry_run) {
    for (const std::string& word : command) fmt::print("{} ", word);
    fmt::print("\n");
    return 0;
  }
  const comm::JobOutcome outcome = RunToTheEnd(options, command, threads);
  for (size_t r = 0; r < outcome.links.size(); ++r) {
    const comm::LinkBytes& link = outcome.links[r];
    LogInfo(fmt::format("rank {}: {} sent and {} received over its link", r,
                        FormatBytes(static_cast<uint64_t>(link.sent)),
                        FormatBytes(static_cast<uint64_t>(link.received))));
  }
  if (options.links) {
    WriteFileAtomically(*options.links, ToJson(outcome, options).dump(2) + "\n");
  }
  return outcome.exit_code;
}

}  // namespace orchard::cser_train
