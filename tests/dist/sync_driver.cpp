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

// 20 steps of one algorithm; the digest of all ranks' models, and this rank's bytes.
std::string Digest(const AlgorithmOptions& algorithm, comm::Communicator& ranks) {
  const ArenaLayout layout = SmallLayout();
  const CompressOptions compress = {.ratio = 8, .block = 32, .density_steps = 4};
  const auto made = MakeAlgorithm<float>(algorithm, compress, layout, 3);
  FlatBuffer<float> x(layout.size()), gradient(layout.size());
  made->Begin(x.span());
  const comm::Traffic before = ranks.traffic();
  for (int64_t t = 1; t <= 20; ++t) {
    for (const Slot& slot : layout.slots()) {
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        const double g = Curvature(i) * (x.data()[i] - Minimum(i, ranks.rank(), 1));
        gradient.data()[i] = static_cast<float>(g);
      }
    }
    made->Step({.step = t,
                .learning_rate = 0.05,
                .values = x.span(),
                .gradient = gradient.span(),
                .ranks = ranks});
  }
  const int64_t sent = ranks.traffic().sent - before.sent;
  const std::string own = Sha256Hex(std::as_bytes(x.span()));
  std::string all(own.size() * static_cast<size_t>(ranks.size()), ' ');
  const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), std::ssize(own));
  ranks.AllGather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)), counts);
  return fmt::format("{} {} bytes", Sha256Hex(std::as_bytes(std::span(all))), sent);
}

void All(comm::Communicator& ranks) {
  for (const auto& kind : kAlgorithmKindNames) {
    for (const Implementation impl : {Implementation::kAuto, Implementation::kOne}) {
      if (impl == Implementation::kOne && kind.value != AlgorithmKind::kCser) continue;
      const std::string digest = Digest({.algo = kind.value, .impl = impl}, ranks);
      if (ranks.rank() == 0) fmt::print("{} {}\n", kind.name, digest);
    }
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
