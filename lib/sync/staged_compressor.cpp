// A compressor whose ratio changes over the run: one compressor per stage.
#include <algorithm>
#include <utility>
#include <vector>

#include "sync/compressor.h"

namespace orchard::sync {
namespace {

template <class T>
class StagedCompressor : public Compressor<T> {
 public:
  using Stage = std::pair<int64_t, std::unique_ptr<Compressor<T>>>;  // its first draw
  explicit StagedCompressor(std::vector<Stage> stages) : stages_(std::move(stages)) {}

  void Exchange(int64_t draw, std::span<T> residual, T scale, std::span<T> target,
                comm::Communicator& ranks) override {
    At(draw).Exchange(draw, residual, scale, target, ranks);
  }
  std::optional<Selection> CommonSupport(int64_t draw) const override {
    return At(draw).CommonSupport(draw);
  }
  Message MessageOf(int64_t draw) const override { return At(draw).MessageOf(draw); }

 private:
  Compressor<T>& At(int64_t draw) const {
    const auto later = std::find_if(stages_.begin(), stages_.end(),
                                    [&](const Stage& s) { return s.first > draw; });
    return *std::prev(later)->second;
  }

  std::vector<Stage> stages_;
};

}  // namespace

template <class T>
std::unique_ptr<Compressor<T>> MakeStagedCompressor(
    CompressorKind kind, const ArenaLayout& layout, const SelectorOptions& options, uint64_t seed,
    std::string_view stream, const RatioStages& stages,
    const std::function<int64_t(int64_t)>& draws_before, const Device& device) {
  const bool fixed = kind == CompressorKind::kNone || kind == CompressorKind::kIdentity;
  if (stages.empty() || fixed)
    return MakeCompressor<T>(kind, layout, options, seed, stream, device);
  std::vector<typename StagedCompressor<T>::Stage> made;
  made.emplace_back(0, MakeCompressor<T>(kind, layout, options, seed, stream, device));
  // Blocks keep their size; no more of them are left out than a draw must take.
  SelectorOptions scaled = options;
  scaled.block = BlockFor(options, layout.size());
  const double most = 0.5 * static_cast<double>((layout.size() + scaled.block - 1) / scaled.block);
  for (const RatioStage& stage : stages) {
    scaled.ratio = std::max(1.0, std::min(options.ratio * stage.factor, most));
    made.emplace_back(draws_before(stage.first_step),
                      stage.factor == 0
                          ? MakeCompressor<T>(CompressorKind::kIdentity, layout, {}, seed, stream)
                          : MakeCompressor<T>(kind, layout, scaled, seed, stream, device));
  }
  return std::make_unique<StagedCompressor<T>>(std::move(made));
}

#define ORCHARD_INSTANTIATE(T)                                                                \
  template std::unique_ptr<Compressor<T>> MakeStagedCompressor(                               \
      CompressorKind, const ArenaLayout&, const SelectorOptions&, uint64_t, std::string_view, \
      const RatioStages&, const std::function<int64_t(int64_t)>&, const Device&);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
