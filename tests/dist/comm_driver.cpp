// One job for every engine: `mpirun -n N comm_driver digest` and `comm_driver digest --ranks N`
// must print the same. Modes:
//
//   digest        all collectives over many sizes and types: digest of results and byte counters
//   throw         rank 1 finds bad data, the others wait for it
//   kill          rank 1 is killed, the others wait for it
//   together      every rank is interrupted at the same step
//   huge          a buffer of more than 2^31 bytes (2.2 GiB of memory per rank)
//   rate [BYTES]  seconds of an all-reduce
//   bytes FILE N  N all-reduces, and the byte counters into FILE.<rank>: for netns_bytes
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "comm/launch.h"
#include "unit/comm/inputs.h"

namespace orchard::comm {
namespace {

template <class T>
void Add(Sha256& hash, const std::vector<T>& values) {
  hash.Update(std::as_bytes(std::span(values)));
}

// Every collective on `count` elements of one type. Waits for the asynchronous ones in another
// order than they were started in.
template <class T>
void Exercise(Communicator& c, uint64_t seed, int64_t count, Sha256& hash) {
  std::vector<T> a = Elements<T>(seed, c.rank(), count), b = Elements<T>(seed + 1, c.rank(), count);
  std::vector<T> root = Elements<T>(seed + 2, c.rank(), count), whole(count);
  std::vector<T> chunk(ChunkOf(count, c.size(), c.rank()).size());
  Handle first = c.AllReduceAsync(std::span(a));
  Handle second = c.BroadcastAsync(std::span(root), c.size() - 1);
  c.ReduceScatter(std::span(b), std::span(chunk));
  second.Wait();
  first.Wait();
  c.AllGather(std::span(chunk), std::span(whole));
  std::vector<int64_t> counts;
  int64_t total = 0;
  for (int r = 0; r < c.size(); ++r) total += counts.emplace_back((r * 7) % 5 * count / 4);
  std::vector<T> ragged(total);
  c.AllGather(std::span(a).first(0), std::span(ragged).first(0), std::vector<int64_t>(c.size(), 0));
  const std::vector<T> mine = Elements<T>(seed + 3, c.rank(), counts[c.rank()]);
  c.AllGather(std::span(mine), std::span(ragged), counts);
  for (const auto* values : {&a, &root, &chunk, &whole, &ragged}) Add(hash, *values);
}

std::string TrafficText(const Communicator& c) {
  std::string text;
  for (int i = 0; i < kOperations; ++i) {
    const auto operation = static_cast<Operation>(i);
    const Traffic t = c.traffic(operation);
    text += fmt::format("{} {} {} {}; ", Name(operation), t.calls, t.sent, t.received);
  }
  return text;
}

void Digest(Communicator& c) {
  Sha256 hash;
  for (int64_t count : {0, 1, 2, 7, 1000, 4099}) {
    Exercise<float>(c, 10 + count, count, hash);
    Exercise<double>(c, 20 + count, count, hash);
    Exercise<BFloat16>(c, 30 + count, count, hash);
    Exercise<Float16>(c, 40 + count, count, hash);
    Exercise<int8_t>(c, 50 + count, count, hash);
  }
  const auto pair = c.Split(c.rank() / 2), across = c.Split(c.rank() % 2);
  if (c.size() % 2 == 0) {
    std::vector<float> x = Elements<float>(60, c.rank(), 999);
    HierarchicalAllReduce(*pair, *across, std::span(x));
    Add(hash, x);
  }
  c.Barrier();
  const std::string traffic = TrafficText(c) + TrafficText(*pair);
  hash.Update(std::as_bytes(std::span(traffic)));
  const std::string own = hash.Hex();
  std::string all(own.size() * c.size(), ' ');
  c.AllGather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  if (c.rank() != 0) return;
  fmt::print("{} ranks: {}\n{}\n", c.size(), Sha256Hex(std::as_bytes(std::span(all))), traffic);
}

// Steps of all-reduce until something happens to rank 1.
void Fail(Communicator& c, const std::string& how) {
  std::vector<float> x(1000, 1);
  for (int step = 0; step < 20; ++step) {
    if (step == 10 && how == "together") throw InterruptedError("interrupted at step 10");
    if (step == 10 && c.rank() == 1) {
      if (how == "throw") throw DataError("rank 1 cannot read its data");
      if (how == "kill") kill(getpid(), SIGKILL);
    }
    c.AllReduceAsync(std::span(x)).Wait();
    c.AllReduce(std::span(x));
  }
}

void Huge(Communicator& c) {
  const int64_t count = (int64_t{1} << 31) + 4099;
  std::vector<int8_t> x(count);
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<int8_t>(i % 31 + c.rank());
  c.AllReduce(std::span(x));
  const int ranks = c.size();
  for (int64_t i = 0; i < count; ++i) {
    if (x[i] != ranks * (i % 31) + ranks * (ranks - 1) / 2) throw Error(ExitCode::kInternal, "sum");
  }
  if (c.rank() == 0) fmt::print("{} bytes: right\n", count);
}

void Rate(Communicator& c, int64_t bytes) {
  std::vector<float> x(bytes / 4, 1.0f);
  for (int round = 0; round < 5; ++round) {
    c.Barrier();
    const auto begin = std::chrono::steady_clock::now();
    c.AllReduce(std::span(x));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (c.rank() == 0)
      fmt::print("{} ranks, {} bytes: {:.4f} s\n", c.size(), bytes, seconds.count());
  }
}

void Bytes(Communicator& c, const std::string& file, int rounds) {
  std::vector<float> x(4 << 20, 1.0f);
  for (int round = 0; round < rounds; ++round) c.AllReduce(std::span(x));
  const Traffic t = c.traffic();
  std::ofstream(fmt::format("{}.{}", file, c.rank())) << t.sent << ' ' << t.received << '\n';
}

int Main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  RankOptions ranks;
  for (size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] != "--ranks") continue;
    ranks.ranks = std::stoll(arguments[i + 1]);
    arguments.resize(i);
  }
  if (arguments.empty()) throw UsageError("give a mode");
  const std::string mode = arguments[0], value = arguments.size() > 1 ? arguments[1] : "";
  // Small pieces, so that every code path for large buffers runs.
  EngineOptions options;
  if (mode == "digest") options.segment_bytes = 1024;
  RunRanks(
      ranks,
      [&](Communicator& c) {
        if (mode == "digest") return Digest(c);
        if (mode == "huge") return Huge(c);
        if (mode == "rate") return Rate(c, value.empty() ? 32 << 20 : std::stoll(value));
        if (mode == "bytes") return Bytes(c, value, std::stoi(arguments.at(2)));
        Fail(c, mode);
      },
      options);
  return 0;
}

}  // namespace
}  // namespace orchard::comm

int main(int argc, char** argv) {
  // As in the programs: SIGTERM asks for a checkpoint at the end of the step, it does not end the
  // process by itself.
  signal(SIGTERM, [](int) {});
  try {
    return orchard::comm::Main(argc, argv);
  } catch (const orchard::Error& e) {
    fmt::print(stderr, "comm_driver: {}\n", e.what());
    return static_cast<int>(e.code());
  }
}
