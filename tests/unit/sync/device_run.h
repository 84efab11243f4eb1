// One rank's run of an algorithm on a quadratic, with its arenas on a device.
#pragma once

#include <functional>
#include <vector>

#include "unit/sync/quadratic.h"

namespace orchard::sync {

struct DeviceRun {
  AlgorithmOptions algorithm;
  CompressOptions compress;
  int64_t steps = 12;
  // Messages go by this communicator for the device's memory, where the algorithm lets them.
  comm::StreamCommunicator* link = nullptr;
};

// The model after the last step, then the buffers of the algorithm's state.
inline std::vector<float> RunOn(const Device& device, const DeviceRun& run,
                                comm::Communicator& ranks) {
  const ArenaLayout layout = SmallLayout();
  const auto made = MakeAlgorithm<float>(run.algorithm, run.compress, layout, 3, {}, device);
  if (run.link != nullptr) made->SendFromDevice(*run.link);
  FlatBuffer<float> x(layout.size(), device.arenas()), gradient(layout.size(), device.arenas());
  made->Begin(x.span());
  made->ResumeAt(0);
  for (int64_t t = 1; t <= run.steps; ++t) {
    for (const Slot& slot : layout.slots()) {
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        const double g = Curvature(i) * (x.data()[i] - Minimum(i, ranks.rank(), 1));
        gradient.data()[i] = static_cast<float>(g);
      }
    }
    const StepInput<float> input{.step = t,
                                 .learning_rate = 0.05,
                                 .values = x.span(),
                                 .gradient = gradient.span(),
                                 .ranks = ranks};
    if (made->Streams()) {
      StepInParts(*made, input, layout.slots().size());
    } else {
      made->Step(input);
    }
  }
  std::vector<float> all;
  for (const StateBuffer<float>& state : made->State())
    all.insert(all.end(), state.values.begin(), state.values.end());
  all.insert(all.begin(), x.span().begin(), x.span().end());
  return all;
}

// Every algorithm, and the fused ones with narrow wires, several buckets and late means.
inline std::vector<std::pair<std::string, DeviceRun>> DeviceRuns() {
  const CompressOptions plain = {.ratio = 8, .block = 32, .density_steps = 4};
  std::vector<std::pair<std::string, DeviceRun>> runs;
  for (const auto& kind : kAlgorithmKindNames)
    runs.emplace_back(kind.name, DeviceRun{.algorithm = {.algo = kind.value}, .compress = plain});
  runs.emplace_back("cser 1",
                    DeviceRun{.algorithm = {.impl = Implementation::kOne}, .compress = plain});
  for (const auto& wire : kWireFormatNames) {
    for (const AlgorithmKind kind : {AlgorithmKind::kSgd, AlgorithmKind::kCser,
                                     AlgorithmKind::kEfSgd, AlgorithmKind::kQsparse}) {
      DeviceRun run{.algorithm = {.algo = kind}, .compress = plain};
      run.compress.wire = wire.value;
      run.compress.bucket_mb = 5e-4;
      runs.emplace_back(NameOf(kind) + " " + wire.name, run);
    }
    DeviceRun late{.algorithm = {}, .compress = plain};
    late.compress.wire = wire.value;
    late.compress.delay = 3;
    late.compress.theta = 0.5;
    runs.emplace_back(std::string("cser late ") + wire.name, late);
  }
  for (const auto& base : kBaseOptimizerNames) {
    runs.emplace_back(std::string("cser ") + base.name,
                      DeviceRun{.algorithm = {.base = base.value}, .compress = plain});
    runs.emplace_back(std::string("sgd ") + base.name,
                      DeviceRun{.algorithm = {.algo = AlgorithmKind::kSgd, .base = base.value},
                                .compress = plain});
  }
  return runs;
}

}  // namespace orchard::sync
