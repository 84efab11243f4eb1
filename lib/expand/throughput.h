// How fast expansion is on this machine, beside plain copies of the same bytes, and what verifying
// and training a model cannot be faster than here: `lemon-expand bench`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/machine_rates.h"
#include "cli/fields.h"

namespace orchard::expand {

struct ThroughputOptions {
  std::filesystem::path model;  // empty: a synthetic one
  int64_t size = 256'000'000;   // of the synthetic one
  int64_t tokens = 8192;        // of a training step
  int64_t max_ram = 512'000'000;
  std::filesystem::path scratch;

  void Fields(cli::FieldVisitor& f) {
    f("model", model, "model to measure with (default: a synthetic LLaMA)");
    f("size", size, "bytes of the synthetic model; its expansion has four times as many",
      cli::Bytes(1 << 20));
    f("tokens", tokens, "tokens of a training step, for the estimates", cli::Count(1));
    f("max_ram", max_ram, "bound on memory for buffers", cli::Bytes(1 << 20));
    f("scratch", scratch, "where models are made and removed (default: the system's)");
  }
};

// One piece of work from files to files.
struct FileWork {
  std::string name;
  int threads = 1;
  int64_t bytes_read = 0, bytes_written = 0;
  double seconds = 0;            // until the bytes are on the disk
  double processor_seconds = 0;  // of all threads, the system's part included
  int64_t peak_memory = 0;       // anonymous

  double rate() const { return static_cast<double>(bytes_written) / seconds; }
  double rate_per_core() const { return static_cast<double>(bytes_written) / processor_seconds; }
};

// What a computation has to move and to multiply, and the seconds that either takes at the rates
// measured: no implementation is faster.
struct Bound {
  std::string name;
  int64_t tokens = 0;
  double flops = 0, bytes = 0;
  double seconds = 0;
};

// Bytes read plus written per second by a device-to-device copy, and by the expansion kernel on a
// bf16 matrix [4096, 4096] grown to [8192, 8192].
struct DeviceRates {
  std::string name;
  double copy = 0, expand_matrix = 0;
};

struct Throughput {
  std::string model;
  int64_t source_parameters = 0, target_parameters = 0;
  std::vector<FileWork> work;  // the first two are plain copies
  double copy_seconds = 0;     // of the faster of them, for the target's bytes of twice the width
  MachineRates machine;
  std::vector<Bound> bounds;
  std::optional<DeviceRates> device;
};

// `step` is called with the name of each measurement before it begins. Throws what opening and
// growing the model throws, and InterruptedError.
Throughput MeasureThroughput(const ThroughputOptions& options, int threads, uint64_t seed,
                             const std::function<void(const std::string&)>& step);

}  // namespace orchard::expand
