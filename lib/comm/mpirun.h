// Starts a program with several ranks on this machine by mpirun, over memory or over links with a
// chosen rate (link_network.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "comm/link_network.h"

namespace orchard::comm {

// `cser-train launch`.
struct LaunchOptions {
  int64_t ranks = 2;
  std::optional<std::string> netns;  // a rate
  double delay_ms = 0;
  int64_t burst = 256 << 10;
  bool frames = false;
  std::optional<std::string> program;
  std::optional<std::filesystem::path> links;
  int64_t max_lost = 0;
  std::vector<std::string> words;  // what is started; see CommandAfterMark

  void Fields(cli::FieldVisitor& f) {
    f("ranks", ranks, "processes to start", cli::Letter('n', cli::Between(1, 250)));
    f("netns", netns,
      "rate of a link per rank, such as 100mbit, 1gbit or unlimited: every rank in a network "
      "namespace of its own (needs root)");
    f("delay_ms", delay_ms,
      "with --netns: delay of each direction of a link, where the kernel has "
      "netem",
      cli::AtLeast(0));
    f("burst", burst, "with --netns: bytes that pass at once after a pause", cli::Bytes(2048));
    f("frames", frames,
      "with --netns: links carry frames of 1,514 bytes with all headers, as a wire does, in place "
      "of "
      "up to 64 KiB with one");
    f("program", program, "what to start in place of this program");
    f("links", links, "with --netns: a JSON file for the bytes that each link carried");
    f("max_lost", max_lost,
      "ranks that may be killed: train then goes on with one rank fewer from its last checkpoint "
      "(--save-every), as it does with --resume",
      cli::Between(0, 249));
    f.Positional("command", words, "after --: the subcommand and its options");
  }
};

// The arguments after the first `--`, as typed. Throws UsageError where there are none.
std::vector<std::string> CommandAfterMark(const std::vector<std::string>& arguments);

// Threads that each of `ranks` processes gets, of `cpus`.
int ThreadsPerRank(int cpus, int64_t ranks);

// mpirun's arguments before the command, for ranks that share this machine's memory. A rank is
// bound to `threads` CPUs where there are enough for all; otherwise ranks are not bound.
std::vector<std::string> SharedMemoryArguments(int64_t ranks, int threads, int cpus);
// The same for ranks in the namespaces of a network.
//   agent  what mpirun calls in place of ssh
std::vector<std::string> LinkArguments(int64_t ranks, const std::string& subnet,
                                       const std::vector<std::string>& addresses,
                                       const std::string& agent);

struct JobOutcome {
  int exit_code = 0;  // mpirun's own: that of the first rank that failed, 128 + signal if killed
  bool asked_to_stop = false;  // by a signal
  double seconds = 0;
  std::vector<LinkBytes> links;  // of ranks, with --netns
};

// Runs `command` with options.ranks processes and waits. SIGTERM, SIGINT and SIGUSR1 reach every
// rank as SIGUSR1, which makes ranks write a checkpoint and stop; a second SIGINT or SIGTERM ends
// the job. Ranks find MASTER_ADDR, MASTER_PORT and GLOO_SOCKET_IFNAME set with --netns, for
// programs that meet without MPI. To be called while the process has one thread. Throws UsageError,
// ResourceError.
JobOutcome RunJob(const LaunchOptions& options, const std::vector<std::string>& command,
                  int threads);

}  // namespace orchard::comm
