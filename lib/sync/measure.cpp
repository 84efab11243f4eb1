#include "sync/measure.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "sync/algorithm.h"
#include "sync/algorithm_options.h"
#include "sync/arena.h"

namespace orchard::sync {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWarmUp = 3;
constexpr int64_t kMatrixColumns = 256;

AlgorithmKind KindOf(const std::string& name) {
  std::string names;
  for (const auto& entry : kAlgorithmKindNames) {
    if (name == entry.name) return entry.value;
    names += std::string(names.empty() ? "" : ", ") + entry.name;
  }
  throw UsageError("there is no algorithm '" + name + "'", "--algos", names);
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The median over repetitions of the slowest rank's time, all ranks starting together. The barriers
// and the exchange of times are not in it.
double TimeOf(int64_t repeat, comm::Communicator& ranks, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int64_t i = -kWarmUp; i < repeat; ++i) {
    ranks.Barrier();
    const Clock::time_point begin = Clock::now();
    work();
    const double own = std::chrono::duration<double>(Clock::now() - begin).count();
    std::vector<double> all(static_cast<size_t>(ranks.size()));
    const std::vector<int64_t> counts(all.size(), 1);
    ranks.AllGather(std::span<const double>(&own, 1), std::span<double>(all), counts);
    if (i >= 0) seconds.push_back(*std::max_element(all.begin(), all.end()));
  }
  return Median(std::move(seconds));
}

MeasuredRow AllReduceRow(int64_t size, int64_t repeat, comm::Communicator& ranks) {
  std::vector<float> buffer(static_cast<size_t>(size / 4), 1);
  const int64_t before = ranks.traffic(comm::Operation::kAllReduce).sent;
  MeasuredRow row{.name = "all-reduce", .size = size};
  row.seconds = TimeOf(repeat, ranks, [&] {
    std::fill(buffer.begin(), buffer.end(), 1.0f);  // sums would grow without end
    ranks.AllReduce(std::span<float>(buffer));
  });
  const auto sent = ranks.traffic(comm::Operation::kAllReduce).sent - before;
  row.sent = static_cast<double>(sent) / static_cast<double>(repeat + kWarmUp);
  return row;
}

double CopySeconds(int64_t elements, int64_t repeat, comm::Communicator& ranks) {
  const std::vector<float> from(static_cast<size_t>(elements), 1);
  std::vector<float> to(from.size());
  return TimeOf(repeat, ranks, [&] {
    std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
    // So that no compiler leaves it out.
    asm volatile("" : : "g"(to.data()) : "memory");  // NOLINT
  });
}

MeasuredRow StepRow(const std::string& name, int64_t size, const MeasureOptions& options,
                    comm::Communicator& ranks) {
  AlgorithmOptions algorithm_options;
  algorithm_options.algo = KindOf(name);
  CompressOptions compress;
  compress.ratio = algorithm_options.algo == AlgorithmKind::kSgd ? 1 : options.ratio;
  const ArenaLayout layout(
      {{"weight", {std::max<int64_t>(1, size / 4 / kMatrixColumns), kMatrixColumns}}});
  const auto algorithm = MakeAlgorithm<float>(algorithm_options, compress, layout, 1);
  FlatBuffer<float> values(layout.size()), gradient(layout.size());
  // Gradients that differ, so that sorting and rounding have their usual work.
  const Philox2 key = PhiloxKey(static_cast<uint64_t>(ranks.rank()), Hash64("sync.measure"));
  for (int64_t i = 0; i < layout.size(); ++i) {
    gradient.span()[static_cast<size_t>(i)] =
        static_cast<float>(PhiloxAt(key, static_cast<uint64_t>(i), 0).word[0] >> 8) * 0x1p-24f -
        0.5f;
  }
  algorithm->Begin(values.span());
  int64_t step = 0;
  MeasuredRow row{.name = name, .size = size};
  // Whole intervals, since an algorithm may send in some steps only.
  const int64_t interval = Resolve(algorithm_options, compress).interval;
  const int64_t steps = std::max<int64_t>(1, interval);
  const auto of_steps = [&](comm::Communicator& with) {
    return [&, steps] {
      for (int64_t s = 0; s < steps; ++s) {
        algorithm->Step({.step = ++step,
                         .learning_rate = 1e-4,
                         .values = values.span(),
                         .gradient = gradient.span(),
                         .ranks = with});
      }
    };
  };
  if (options.what == Measured::kKernels) {
    const auto alone = comm::OneProcess();
    row.seconds = TimeOf(options.repeat, *alone, of_steps(*alone)) / static_cast<double>(steps);
    row.copies = row.seconds / CopySeconds(layout.size(), options.repeat, *alone);
    return row;
  }
  // A communicator of its own, whose bytes are the steps' alone.
  const auto wire = ranks.Split(0);
  row.seconds = TimeOf(options.repeat, ranks, of_steps(*wire)) / static_cast<double>(steps);
  row.sent = static_cast<double>(wire->traffic().sent) / static_cast<double>(step);
  return row;
}

}  // namespace

std::vector<MeasuredRow> Measure(const MeasureOptions& options, comm::Communicator& ranks) {
  std::vector<MeasuredRow> rows;
  for (const int64_t size : options.sizes) {
    if (options.what == Measured::kAllReduce) {
      rows.push_back(AllReduceRow(size, options.repeat, ranks));
      continue;
    }
    for (const std::string& name : options.algos) {
      rows.push_back(StepRow(name, size, options, ranks));
    }
  }
  for (MeasuredRow& row : rows) {
    row.bits_per_second = row.seconds > 0 ? 8 * row.sent / row.seconds : 0;
  }
  return ranks.rank() == 0 ? rows : std::vector<MeasuredRow>();
}

}  // namespace orchard::sync
