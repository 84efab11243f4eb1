// What the parts of a step take without a model: collectives between ranks, an algorithm's
// exchange, its kernels. `cser-train bench`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "comm/communicator.h"

namespace orchard::sync {

enum class Measured { kAllReduce, kPsync, kKernels };
inline constexpr cli::EnumName<Measured> kMeasuredNames[] = {{"allreduce", Measured::kAllReduce},
                                                             {"psync", Measured::kPsync},
                                                             {"kernels", Measured::kKernels}};
constexpr auto EnumNames(Measured) { return std::span(kMeasuredNames); }

struct MeasureOptions {
  Measured what = Measured::kAllReduce;
  std::vector<int64_t> sizes = {4 << 10, 64 << 10, 1 << 20, 16 << 20};
  std::vector<std::string> algos = {"sgd", "cser", "qsparse", "ef-sgd", "powersgd", "topk-ef"};
  double ratio = 64;
  int64_t repeat = 20;
  int64_t ranks = 0;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("what", what,
                 "allreduce: the sum of a buffer over all ranks; psync: an algorithm's step on all "
                 "ranks; kernels: the same on one rank, beside a copy of the model",
                 false);
    f("sizes", sizes, "bytes of the buffer, or of the model", cli::AtLeast(1024));
    f("algos", algos, "psync, kernels: algorithms");
    f("ratio", ratio, "psync, kernels: dense traffic over traffic", cli::AtLeast(1));
    f("repeat", repeat, "measured repetitions; the median counts", cli::AtLeast(1));
    f("ranks", ranks, "ranks to simulate in this process (0: what mpirun or srun started, or one)",
      cli::AtLeast(0));
  }
};

// One line of the outcome. Times are medians of the slowest rank.
struct MeasuredRow {
  std::string name;  // "all-reduce", or the algorithm
  int64_t size = 0;  // bytes of the buffer or model
  double seconds = 0;
  double sent = 0;             // bytes by a rank, mean over the repetitions
  double copies = 0;           // kernels: seconds over those of a copy of the model
  double bits_per_second = 0;  // sent, over the time
};

// A collective call. The rows on rank 0, nothing elsewhere. Throws UsageError for an algorithm that
// does not exist.
std::vector<MeasuredRow> Measure(const MeasureOptions& options, comm::Communicator& ranks);

}  // namespace orchard::sync
