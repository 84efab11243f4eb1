#include "comm/mpirun.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/error.h"
#include "comm/daemon_folders.h"

namespace orchard::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kPassedOn = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};

// All that a signal handler can reach.
std::atomic<pid_t> job{0};
std::atomic<int> stops{0};
static_assert(std::atomic<pid_t>::is_always_lock_free, "needed inside a signal handler");

// The first request is a polite one: mpirun passes SIGUSR1 on to every rank. A second one ends it.
void PassOn(int signal) {
  const pid_t child = job.load();
  const bool again = stops.fetch_add(1) > 0 && signal != SIGUSR1;
  if (child > 0) kill(child, again ? SIGTERM : SIGUSR1);
}

class PassSignals {
 public:
  PassSignals() {
    struct sigaction action = {};
    action.sa_handler = PassOn;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < kPassedOn.size(); ++i) sigaction(kPassedOn[i], &action, &previous_[i]);
  }
  ~PassSignals() {
    for (size_t i = 0; i < kPassedOn.size(); ++i) {
      sigaction(kPassedOn[i], &previous_[i], nullptr);
    }
  }
  PassSignals(const PassSignals&) = delete;
  PassSignals& operator=(const PassSignals&) = delete;

 private:
  std::array<struct sigaction, kPassedOn.size()> previous_;
};

// A script in memory, so that a killed launcher leaves no file: mpirun's daemons are started by it,
// each in the namespace that belongs to its host's address, with a temporary folder of its own.
class Agent {
 public:
  explicit Agent(const LinkNetwork& network, int ranks)
      : folders_(ranks), descriptor_(memfd_create("launch-agent", 0)) {
    std::string text = "#!/bin/sh\nhost=$1; shift\ncase $host in\n";
    for (int r = 0; r < ranks; ++r) {
      text += fmt::format("{}) process={}; folder={} ;;\n", network.address(r), network.holder(r),
                          folders_.path(r));
    }
    text += "*) echo \"unknown host $host\" >&2; exit 1 ;;\nesac\n";
    text += "export OMPI_MCA_orte_tmpdir_base=$folder\n";
    text += "exec nsenter --net=/proc/$process/ns/net sh -c \"$*\"\n";
    if (descriptor_ < 0 || write(descriptor_, text.data(), text.size()) != std::ssize(text)) {
      throw ResourceError(std::string("no memory for a script: ") + std::strerror(errno));
    }
  }
  ~Agent() { close(descriptor_); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  std::string path() const { return fmt::format("/proc/{}/fd/{}", getpid(), descriptor_); }

 private:
  DaemonFolders folders_;
  int descriptor_;
};

int CpusOfProcess() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// mpirun, started so that it ends with this process.
pid_t Start(const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = getpid(), child = fork();
  if (child < 0) throw ResourceError(std::string("no process: ") + std::strerror(errno));
  if (child > 0) return child;
  // A process group of its own: a Ctrl-C at the terminal comes to the launcher alone.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  // Daemons of one machine would keep their tables in the same files of shared memory.
  setenv("PMIX_MCA_gds", "hash", 0);
  execvp(words[0], words.data());
  const char text[] = "cannot start mpirun: install openmpi-bin\n";
  if (write(2, text, sizeof text - 1) < 0) _exit(126);
  _exit(127);
}

int WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  job = 0;
  if (WIFEXITED(status)) {
    if (WEXITSTATUS(status) == 127) throw ResourceError("cannot start mpirun", "", "openmpi-bin");
    return WEXITSTATUS(status);
  }
  throw PeerError(fmt::format("mpirun was killed by signal {}", WTERMSIG(status)));
}

void SetForRanks(std::vector<std::string>& command, const std::string& variable,
                 const std::string& value) {
  command.insert(command.end(), {"-x", variable + "=" + value});
}

}  // namespace

std::vector<std::string> CommandAfterMark(const std::vector<std::string>& arguments) {
  const auto mark = std::find(arguments.begin(), arguments.end(), "--");
  if (mark == arguments.end() || mark + 1 == arguments.end()) {
    throw UsageError("what shall be started?", "launch",
                     "write it after --, e.g. cser-train launch -n 4 -- train --out runs/cser");
  }
  return {mark + 1, arguments.end()};
}

int ThreadsPerRank(int cpus, int64_t ranks) {
  return static_cast<int>(std::max<int64_t>(1, cpus / std::max<int64_t>(1, ranks)));
}

std::vector<std::string> SharedMemoryArguments(int64_t ranks, int threads, int cpus) {
  std::vector<std::string> command = {"mpirun", "-n", std::to_string(ranks)};
  if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
  if (ranks * threads <= cpus) {
    command.insert(command.end(), {"--use-hwthread-cpus", "--map-by",
                                   fmt::format("slot:PE={}", threads), "--bind-to", "hwthread"});
  } else {
    command.insert(command.end(), {"--oversubscribe", "--bind-to", "none"});
  }
  return command;
}

std::vector<std::string> LinkArguments(int64_t ranks, const std::string& subnet,
                                       const std::vector<std::string>& addresses,
                                       const std::string& agent) {
  std::vector<std::string> command = {"mpirun", "-n", std::to_string(ranks)};
  if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
  std::string hosts;
  for (const std::string& address : addresses) hosts += (hosts.empty() ? "" : ",") + address + ":1";
  const std::pair<const char*, std::string> settings[] = {
      {"plm", "rsh"},
      {"plm_rsh_agent", agent},
      // Every daemon from here: daemons that start daemons would need the agent, too.
      {"plm_rsh_no_tree_spawn", "1"},
      {"oob_tcp_if_include", subnet},
      {"pml", "ob1"},
      {"btl", "tcp,self"},
      {"btl_tcp_if_include", subnet},
      // With Open MPI's defaults, which let the receiver fetch data, a link that both sides use
      // carries about half of its rate in each direction.
      {"btl_tcp_flags", "send"},
      {"btl_tcp_sndbuf", "131072"},
      // Daemons of one machine would share one topology in memory, and can collide there.
      {"rtc", "^hwloc"}};
  for (const auto& [name, value] : settings) {
    command.insert(command.end(), {"--mca", name, value});
  }
  // Every daemon takes the machine for its own: bound ranks would all sit on the first CPU.
  command.insert(command.end(), {"--bind-to", "none", "--host", hosts});
  return command;
}

JobOutcome RunJob(const LaunchOptions& options, const std::vector<std::string>& command,
                  int threads) {
  const int ranks = static_cast<int>(options.ranks), cpus = CpusOfProcess();
  std::unique_ptr<LinkNetwork> network;
  std::unique_ptr<Agent> agent;
  std::vector<std::string> all;
  std::vector<LinkBytes> before;
  if (options.netns) {
    const double rate = ParseLinkRate(*options.netns, "--netns");
    network = std::make_unique<LinkNetwork>(
        ranks, LinkOptions{rate, options.delay_ms, options.burst, options.frames});
    agent = std::make_unique<Agent>(*network, ranks);
    std::vector<std::string> addresses;
    addresses.reserve(ranks);
    for (int r = 0; r < ranks; ++r) addresses.push_back(network->address(r));
    all = LinkArguments(ranks, network->subnet(), addresses, agent->path());
    SetForRanks(all, "MASTER_ADDR", network->address(0));
    SetForRanks(all, "MASTER_PORT", "29500");
    SetForRanks(all, "GLOO_SOCKET_IFNAME", LinkNetwork::kInterface);
    for (int r = 0; r < ranks; ++r) before.push_back(network->bytes(r));
  } else {
    all = SharedMemoryArguments(ranks, threads, cpus);
  }
  SetForRanks(all, "OMP_NUM_THREADS", std::to_string(threads));
  all.insert(all.end(), command.begin(), command.end());

  const PassSignals signals;
  const Clock::time_point begin = Clock::now();
  const pid_t child = Start(all);
  job = child;
  // A signal that came before there was somebody to pass it on to.
  if (stops.load() > 0) kill(child, SIGTERM);
  JobOutcome outcome;
  outcome.exit_code = WaitFor(child);
  outcome.asked_to_stop = stops.load() > 0;
  outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (int r = 0; network && r < ranks; ++r) {
    const LinkBytes now = network->bytes(r);
    outcome.links.push_back({now.sent - before[r].sent, now.received - before[r].received});
  }
  return outcome;
}

}  // namespace orchard::comm
