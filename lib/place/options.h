// What a user can ask of a placement. Field names are the configuration keys and, in kebab-case,
// the flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "place/adjust.h"
#include "place/cluster.h"
#include "place/groups.h"
#include "place/list_scheduler.h"
#include "place/memory.h"
#include "place/training_options.h"

namespace orchard::place {

enum class Algorithm {
  kAuto,
  kSingle,
  kExpert,
  kRoundRobin,
  kRandom,
  kMTopo,
  kMTopoFill,
  kMEtf,
  kMSct,
  kHeft,
  kHeftLookahead,
  kMemorySplit,
  kContiguous,
  kPipeDream,
  kMinCut,
  kAccelerate
};
inline constexpr cli::EnumName<Algorithm> kAlgorithmNames[] = {
    {"auto", Algorithm::kAuto},
    {"single", Algorithm::kSingle},
    {"expert", Algorithm::kExpert},
    {"round-robin", Algorithm::kRoundRobin},
    {"random", Algorithm::kRandom},
    {"m-topo", Algorithm::kMTopo},
    {"m-topo-fill", Algorithm::kMTopoFill},
    {"m-etf", Algorithm::kMEtf},
    {"m-sct", Algorithm::kMSct},
    {"heft", Algorithm::kHeft},
    {"heft-lookahead", Algorithm::kHeftLookahead},
    {"memory-split", Algorithm::kMemorySplit},
    {"contiguous", Algorithm::kContiguous},
    {"pipedream", Algorithm::kPipeDream},
    {"mincut", Algorithm::kMinCut},
    {"accelerate", Algorithm::kAccelerate}};
constexpr auto EnumNames(Algorithm) { return std::span(kAlgorithmNames); }
const char* Name(Algorithm algorithm);

// Which published program's conventions hold.
enum class Compat { kNone, kTf, kTorch };
inline constexpr cli::EnumName<Compat> kCompatNames[] = {
    {"none", Compat::kNone}, {"tf", Compat::kTf}, {"torch", Compat::kTorch}};
constexpr auto EnumNames(Compat) { return std::span(kCompatNames); }

enum class LpSolver { kAuto, kHighs, kPaths, kPdlp, kNone };
inline constexpr cli::EnumName<LpSolver> kLpSolverNames[] = {{"auto", LpSolver::kAuto},
                                                             {"highs", LpSolver::kHighs},
                                                             {"paths", LpSolver::kPaths},
                                                             {"pdlp", LpSolver::kPdlp},
                                                             {"none", LpSolver::kNone}};
constexpr auto EnumNames(LpSolver) { return std::span(kLpSolverNames); }

// Whether parameters may live in the host's memory.
enum class Offload { kOff, kAuto };
inline constexpr cli::EnumName<Offload> kOffloadNames[] = {{"off", Offload::kOff},
                                                           {"auto", Offload::kAuto}};
constexpr auto EnumNames(Offload) { return std::span(kOffloadNames); }

// The devices: a file, or so many equal ones.
struct DeviceOptions {
  std::string devices = "auto";
  std::optional<int64_t> memory;
  double memory_fraction = 1;
  int64_t reserve = 0;
  std::optional<double> us_per_byte, latency_us;
  Comm comm = Comm::kParallel;
  std::optional<double> host_us_per_byte, host_latency_us;
  double host_bandwidth = Cluster{}.host_gb_per_s;

  void Fields(cli::FieldVisitor& f) {
    f("devices", devices,
      "number of equal devices, or devices.json; auto: what the graph states, else 2");
    f("memory", memory,
      "bytes of each of the equal devices; without: what the graph states, else no limit",
      cli::Bytes());
    f("memory_fraction", memory_fraction, "part of the memory that may be used",
      cli::Constraint{.lower = 0, .upper = 1, .lower_open = true});
    f("reserve", reserve, "bytes of each device that stay free", cli::Bytes());
    f("us_per_byte", us_per_byte,
      "link: microseconds per byte; without: 0.0001754, PCIe through the host", cli::AtLeast(0));
    f("latency_us", latency_us, "link: microseconds per transfer; without: 134", cli::AtLeast(0));
    f("comm", comm, "how transfers share the links");
    f("host_us_per_byte", host_us_per_byte,
      "a device's link to the host: microseconds per byte; without: 0.0000877, half of a transfer "
      "through the host",
      cli::AtLeast(0));
    f("host_latency_us", host_latency_us,
      "a device's link to the host: microseconds per transfer; without: 67", cli::AtLeast(0));
    f("host_bandwidth", host_bandwidth, "GB/s of the host's memory, for updates there",
      cli::Positive());
  }

  // The coefficients of the link, unless they are given, are the published ones: of the TensorFlow
  // or the PyTorch program. Throws UsageError or DataError.
  Cluster Make(const Graph& graph, Compat compat = Compat::kNone) const;
};

// What PDLP may use: of the machine, no option of a placement.
struct PdlpHardware {
  int threads = 1;
  int gpu = -1;  // index of a CUDA device; -1: none
};

struct PlaceOptions {
  Algorithm algo = Algorithm::kAuto;
  std::optional<Grouping> group;
  bool fuse = true;
  bool fuse_disjoint_paths = false;
  Mode mode = Mode::kInfer;
  Optimizer optimizer = Optimizer::kAdam;
  int64_t allocator_rounding = 512;
  std::optional<MemoryModel> memory_model;
  std::optional<double> sct_theta;
  LpSolver lp = LpSolver::kAuto;
  double lp_time_limit = 60;
  Compat compat = Compat::kNone;
  bool retopo = true;
  Adjust adjust = Adjust::kNone;
  bool adjust_with_limit = false;
  int64_t refine_steps = 4000;
  double time_limit = 0;
  std::vector<std::string> pin;
  Offload offload = Offload::kOff;
  PdlpHardware pdlp;
  TrainingOptions training;

  void Fields(cli::FieldVisitor& f) {
    f("algo", algo, "auto runs all of them, keeps the best and refines it");
    f("group", group, "operators that share a device; without: all kinds for auto, else coplace");
    f("fuse", fuse, "fuse operators inside groups before planning");
    f("fuse_disjoint_paths", fuse_disjoint_paths,
      "fuse also where a second path could, but does not, join two operators");
    f("mode", mode, "what memory holds: one inference, or a training step");
    f("optimizer", optimizer, "whose states a training step holds");
    f("allocator_rounding", allocator_rounding, "every tensor takes a multiple of this many bytes",
      cli::Between(1, 1 << 30));
    f("memory_model", memory_model,
      "what m-ETF and m-SCT count while they plan; event, or torch with --compat torch");
    f("sct_theta", sct_theta, "m-SCT: favourites have x below this; 0.5, or 0.1 with --compat tf",
      cli::Between(0, 0.5));
    f("lp", lp,
      "m-SCT: solver of the linear programme; auto: HiGHS, beyond 5,000 edges or its time paths "
      "(to "
      "2 %); none: matching by weight");
    f("lp_time_limit", lp_time_limit,
      "m-SCT: seconds; then paths keeps its best, PDLP gives way to the matching", cli::Positive());
    f("compat", compat, "conventions of a published program, whose simulator is run as well");
    f("retopo", retopo, "with --compat: number fused operators anew");
    f("adjust", adjust, "with --compat: place without groups, then bring them together so");
    f("adjust_with_limit", adjust_with_limit, "the device must have room for the group");
    f("refine_steps", refine_steps, "annealing steps of each of 4 chains after auto; 0: none",
      cli::Between(0, 1e9));
    f("time_limit", time_limit,
      "seconds of annealing instead of steps: results then depend on the machine",
      cli::Between(0, 1e7));
    f("pin", pin, "operators that must be on a device: name=device");
    f("offload", offload,
      "auto: where memory binds, keep parameters in the host's memory and fetch them before they "
      "are used, if that makes a placement fit that is faster than all that fit without");
    training.Fields(f);
  }
};

}  // namespace orchard::place
