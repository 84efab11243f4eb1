// Every algorithm of lib/sync on quadratics: `mpirun -n N sync_driver` and `sync_driver --ranks N`
// must print the same, models and bytes.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/hash.h"
#include "comm/launch.h"
#include "unit/sync/quadratic.h"

namespace orchard::sync {
namespace {

// 20 steps of one algorithm; the digest of all ranks' models, and this rank's bytes. Where it can,
// the algorithm sends while gradients become ready.
std::string Digest(const AlgorithmOptions& algorithm, const CompressOptions& compress,
                   comm::Communicator& ranks) {
  const ArenaLayout layout = SmallLayout();
  const auto made = MakeAlgorithm<float>(algorithm, compress, layout, 3);
  FlatBuffer<float> x(layout.size()), gradient(layout.size());
  made->Begin(x.span());
  made->ResumeAt(0);
  const comm::Traffic before = ranks.traffic();
  for (int64_t t = 1; t <= 20; ++t) {
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
    if (made->Streams() && compress.overlap) {
      StepInParts(*made, input, layout.slots().size());
    } else {
      made->Step(input);
    }
  }
  made->State();  // what is on its way counts as sent
  const int64_t sent = ranks.traffic().sent - before.sent;
  const std::string own = Sha256Hex(std::as_bytes(x.span()));
  std::string all(own.size() * static_cast<size_t>(ranks.size()), ' ');
  const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), std::ssize(own));
  ranks.AllGather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)), counts);
  return fmt::format("{} {} bytes", Sha256Hex(std::as_bytes(std::span(all))), sent);
}

struct Variant {
  std::string name;
  AlgorithmOptions algorithm;
  CompressOptions compress;
};

std::vector<Variant> Variants() {
  std::vector<Variant> variants;
  const CompressOptions plain = {.ratio = 8, .block = 32, .density_steps = 4};
  const auto add = [&](const std::string& name, AlgorithmOptions algorithm, auto&& change) {
    variants.push_back({name, algorithm, plain});
    change(variants.back());
  };
  for (const auto& kind : kAlgorithmKindNames) {
    add(kind.name, {.algo = kind.value}, [](Variant&) {});
  }
  add("cser 1", {.impl = Implementation::kOne}, [](Variant&) {});
  for (const auto& wire : kWireFormatNames) {
    for (const AlgorithmKind kind : {AlgorithmKind::kSgd, AlgorithmKind::kCser,
                                     AlgorithmKind::kEfSgd, AlgorithmKind::kQsparse}) {
      add(NameOf(kind) + " " + wire.name, {.algo = kind}, [&](Variant& v) {
        v.compress.wire = wire.value;
        v.compress.bucket_mb = 5e-4;
      });
    }
    add(std::string("cser late ") + wire.name, {}, [&](Variant& v) {
      v.compress.wire = wire.value;
      v.compress.delay = 3;
      v.compress.theta = 0.5;
    });
  }
  for (const auto& base : kBaseOptimizerNames) {
    add(std::string("cser ") + base.name, {.base = base.value}, [](Variant&) {});
    add(std::string("sgd ") + base.name, {.algo = AlgorithmKind::kSgd, .base = base.value},
        [](Variant& v) { v.compress.overlap = false; });
  }
  for (const auto& impl : kImplementationNames) {
    const AlgorithmOptions moments = {.impl = impl.value,
                                      .base = BaseOptimizer::kAdamW,
                                      .momentum_sync = MomentumSync::kBlocks,
                                      .second_moment_sync = MomentumSync::kReset};
    add(std::string("cser moments ") + impl.name, moments, [](Variant&) {});
  }
  return variants;
}

void All(comm::Communicator& ranks) {
  for (const Variant& v : Variants()) {
    const std::string digest = Digest(v.algorithm, v.compress, ranks);
    if (ranks.rank() == 0) fmt::print("{} {}\n", v.name, digest);
  }
}

}  // namespace
}  // namespace orchard::sync

int main(int argc, char** argv) {
  orchard::comm::RankOptions ranks;
  if (argc == 3 && std::string(argv[1]) == "--ranks") ranks.ranks = std::stoll(argv[2]);
  orchard::comm::RunRanks(ranks, orchard::sync::All);
  return 0;
}
