// Links with a chosen rate between processes of one machine: a network namespace per rank, joined
// by a bridge, each link shaped in both directions. Needs root, Linux and iproute2.
//
// The machine's own network is not touched: the calling process itself moves into a new namespace
// that holds the bridge, and each rank's namespace belongs to a child that dies with this process.
// The kernel removes namespaces, links and bridge once nobody lives in them, so nothing is left
// behind however this process ends, SIGKILL included.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace orchard::comm {

struct LinkOptions {
  double bits_per_second = 0;  // of each direction; 0: as fast as the machine
  double delay_ms = 0;         // of each direction
  // Bytes that pass at once after a pause (the bucket of tc's tbf). A small bucket costs rate where
  // processes wait for a CPU: 64 KiB gave 71, 256 KiB 84 of 100 Mb/s in an all-reduce of 4 ranks on
  // two busy cores.
  int64_t burst = 256 << 10;
  // Frames of at most 1,514 bytes leave a rank, each with its headers, as on a wire. Otherwise the
  // kernel passes up to 64 KiB on at once, with one header, and costs less time.
  bool frames = false;
};

// "100mbit", "1gbit", "2.5e6" (bits per second), "unlimited" (0). Throws UsageError naming `flag`.
double ParseLinkRate(const std::string& text, const std::string& flag);

// What went over a link, by the counters of its interface, headers of Ethernet and above included.
struct LinkBytes {
  int64_t sent = 0, received = 0;
};

// The counters of all interfaces of a process's network namespace but the loopback. Text of
// /proc/PID/net/dev.
LinkBytes ParseInterfaceCounters(const std::string& text);

class LinkNetwork {
 public:
  // Moves this process into a namespace of its own for good and makes `ranks` (1 to 250) more. To
  // be called while the process has one thread. Throws UsageError without root, ResourceError where
  // the system has no namespaces, no iproute2 or no such shaper.
  LinkNetwork(int ranks, const LinkOptions& options);
  ~LinkNetwork();
  LinkNetwork(const LinkNetwork&) = delete;
  LinkNetwork& operator=(const LinkNetwork&) = delete;

  std::string address(int rank) const;  // "10.213.77.1"
  std::string subnet() const;           // "10.213.77.0/24"
  // The interface of every rank.
  static constexpr const char* kInterface = "e0";
  // A process that lives in the rank's namespace while this object does.
  pid_t holder(int rank) const { return holders_.at(static_cast<size_t>(rank)); }
  LinkBytes bytes(int rank) const;

 private:
  void Hold();
  void MakeLink(int rank, const LinkOptions& options);

  std::vector<pid_t> holders_;
};

}  // namespace orchard::comm
