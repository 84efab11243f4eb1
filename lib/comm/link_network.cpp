#include "comm/link_network.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/subprocess.h"

namespace orchard::comm {
namespace {

constexpr int kMostRanks = 250;
constexpr const char* kNetwork = "10.213.77";
constexpr const char* kBridge = "bridge0";
constexpr const char* kNeeds = "it needs root, network namespaces and the tbf shaper of iproute2";

void Run(const std::vector<std::string>& command) {
  ProcessOutcome outcome;
  try {
    outcome = RunProcess(command);
  } catch (const ResourceError& missing) {
    throw ResourceError("cannot make the network", missing.what(), kNeeds);
  }
  if (outcome.exit_code == 0) return;
  std::string text;
  for (const std::string& word : command) text += (text.empty() ? "" : " ") + word;
  const std::string error = outcome.error.substr(0, outcome.error.find('\n'));
  throw ResourceError("cannot make the network: " + error, text, kNeeds);
}

// The same inside the namespace of `holder`.
void RunIn(pid_t holder, std::vector<std::string> command) {
  command.insert(command.begin(), {"nsenter", fmt::format("--net=/proc/{}/ns/net", holder)});
  Run(command);
}

// tc arguments that shape what leaves `interface`. The bucket holds a millisecond, at least.
std::vector<std::vector<std::string>> Shapers(const std::string& interface,
                                              const LinkOptions& options) {
  std::vector<std::vector<std::string>> commands;
  const std::vector<std::string> add = {"tc", "qdisc", "add", "dev", interface};
  const auto command = [&](std::initializer_list<std::string> words) {
    commands.push_back(add);
    commands.back().insert(commands.back().end(), words);
  };
  const bool delayed = options.delay_ms > 0;
  if (delayed) {
    command({"root", "handle", "1:", "netem", "delay", fmt::format("{:.3f}ms", options.delay_ms),
             "limit", "100000"});
  }
  if (options.bits_per_second > 0) {
    const double burst =
        std::max(static_cast<double>(options.burst), options.bits_per_second / 8 * 1e-3);
    if (delayed) {
      command({"parent", "1:1"});
    } else {
      command({"root"});
    }
    commands.back().insert(commands.back().end(),
                           {"tbf", "rate", fmt::format("{:.0f}bit", options.bits_per_second),
                            "burst", fmt::format("{:.0f}b", burst), "latency", "100ms"});
  }
  return commands;
}

}  // namespace

double ParseLinkRate(const std::string& text, const std::string& flag) {
  if (text == "unlimited") return 0;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  for (const auto& [name, factor] :
       {std::pair{"", 1.0}, std::pair{"bit", 1.0}, std::pair{"kbit", 1e3}, std::pair{"mbit", 1e6},
        std::pair{"gbit", 1e9}}) {
    const double rate = number * factor;
    if (unit == name && end != text.c_str() && rate >= 1000 && rate <= 1e12) return rate;
  }
  throw UsageError(fmt::format("'{}' is no rate", text), flag,
                   "such as 100mbit, 1gbit or unlimited; at least 1kbit");
}

LinkBytes ParseInterfaceCounters(const std::string& text) {
  LinkBytes bytes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;  // the two lines of headings
    const size_t name = line.find_first_not_of(' ');
    if (line.substr(name, colon - name) == "lo") continue;
    // Eight counters of what was received, then eight of what was sent; bytes come first.
    std::istringstream numbers(line.substr(colon + 1));
    const std::vector<int64_t> all{std::istream_iterator<int64_t>(numbers), {}};
    if (all.size() < 9) continue;
    bytes.received += all[0];
    bytes.sent += all[8];
  }
  return bytes;
}

LinkNetwork::LinkNetwork(int ranks, const LinkOptions& options) {
  if (ranks < 1 || ranks > kMostRanks) {
    throw UsageError(fmt::format("a network has 1 to {} ranks", kMostRanks), "--ranks");
  }
  if (geteuid() != 0) {
    throw UsageError(
        "links of one's own need root", "--netns",
        "run it with sudo, or leave --netns out: ranks then share the machine's memory");
  }
  if (unshare(CLONE_NEWNET) != 0) {
    throw ResourceError(std::string("no network namespaces here: ") + std::strerror(errno));
  }
  try {
    Run({"ip", "link", "set", "lo", "up"});
    Run({"ip", "link", "add", kBridge, "type", "bridge"});
    Run({"ip", "addr", "add", fmt::format("{}.254/24", kNetwork), "dev", kBridge});
    Run({"ip", "link", "set", kBridge, "up"});
    for (int r = 0; r < ranks; ++r) {
      Hold();
      MakeLink(r, options);
    }
  } catch (...) {
    for (const pid_t holder : holders_) kill(holder, SIGKILL);
    throw;
  }
}

// A child in a namespace of its own that only waits.
void LinkNetwork::Hold() {
  int ready[2];
  if (pipe(ready) != 0) throw ResourceError(std::string("no pipe: ") + std::strerror(errno));
  const pid_t parent = getpid(), child = fork();
  if (child < 0) throw ResourceError(std::string("no process: ") + std::strerror(errno));
  if (child == 0) {
    // Signals of the terminal are the launcher's business.
    for (const int s : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) signal(s, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char made = unshare(CLONE_NEWNET) == 0 ? 1 : 0;
    const bool told = write(ready[1], &made, 1) == 1;
    close(ready[0]);
    close(ready[1]);
    // Output of the launcher is at its end when the launcher is.
    for (const int descriptor : {0, 1, 2}) close(descriptor);
    while (told && getppid() == parent) pause();
    _exit(0);
  }
  holders_.push_back(child);
  close(ready[1]);
  char made = 0;
  const ssize_t got = read(ready[0], &made, 1);
  close(ready[0]);
  if (got != 1 || made != 1) throw ResourceError("no network namespace for a rank");
}

void LinkNetwork::MakeLink(int rank, const LinkOptions& options) {
  const pid_t child = holder(rank);
  const std::string port = fmt::format("port{}", rank), own = kInterface;
  Run({"ip", "link", "add", port, "type", "veth", "peer", "name", own, "netns",
       fmt::format("{}", child)});
  Run({"ip", "link", "set", port, "master", kBridge, "up"});
  RunIn(child, {"ip", "addr", "add", address(rank) + "/24", "dev", own});
  if (options.frames) RunIn(child, {"ip", "link", "set", own, "gso_max_segs", "1"});
  RunIn(child, {"ip", "link", "set", own, "up"});
  RunIn(child, {"ip", "link", "set", "lo", "up"});
  for (const auto& command : Shapers(own, options)) RunIn(child, command);
  for (const auto& command : Shapers(port, options)) Run(command);
}

LinkNetwork::~LinkNetwork() {
  for (const pid_t holder : holders_) kill(holder, SIGKILL);
  for (const pid_t holder : holders_) waitpid(holder, nullptr, 0);
}

std::string LinkNetwork::address(int rank) const {
  return fmt::format("{}.{}", kNetwork, rank + 1);
}

std::string LinkNetwork::subnet() const { return fmt::format("{}.0/24", kNetwork); }

LinkBytes LinkNetwork::bytes(int rank) const {
  std::ifstream file(fmt::format("/proc/{}/net/dev", holder(rank)));
  std::ostringstream text;
  text << file.rdbuf();
  return ParseInterfaceCounters(text.str());
}

}  // namespace orchard::comm
