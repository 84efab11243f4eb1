// QSparse-local-SGD: local steps, and every H steps the compressed progress since the last
// synchronisation is averaged. Progress outside the message is taken out of the model and
// remembered: with y the synchronised model,
//
//   e += x - y;  y += mean C(e);  e -= C(e);  x = y
//
// Source: Basu et al., Qsparse-local-SGD, 2019, Algorithm 1.
#include <algorithm>
#include <vector>

#include "sync/fused_algorithm.h"

namespace orchard::sync {
namespace {

// What both forms keep.
template <class T>
struct QsparseState {
  explicit QsparseState(const AlgorithmSetting& s)
      : interval(s.resolved.interval),
        compressor(MakeStagedCompressor<T>(
            s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1", s.stages,
            [&](int64_t t) { return (t - 1) / interval; }, s.device)),
        error(s.layout.size(), s.device.arenas()),
        synchronised(s.layout.size(), s.device.arenas()) {}

  bool Synchronises(int64_t step) const { return step % interval == 0; }
  int64_t DrawOf(int64_t step) const { return step / interval - 1; }
  // A step on pieces: a local one, or one that ends in a synchronisation.
  void Update(int64_t step, const Device& device, UpdateArgs<T> args, ThreadPool* pool) {
    args.error = error.data();
    args.extra = synchronised.data();
    if (Synchronises(step)) {
      QsparseStep(device, args, pool);
    } else {
      LocalStep(device, args, pool);
    }
  }
  std::vector<StateBuffer<T>> Buffers() {
    return {{"error", error.span()}, {"synchronised", synchronised.span()}};
  }

  int64_t interval;
  std::unique_ptr<Compressor<T>> compressor;
  FlatBuffer<T> error, synchronised;
};

template <class T>
class Qsparse : public FusedAlgorithm<T> {
 public:
  explicit Qsparse(const AlgorithmSetting& s) : FusedAlgorithm<T>(s, 0), q_(s) {}

  void Begin(std::span<const T> values) override {
    std::copy(values.begin(), values.end(), q_.synchronised.data());
  }

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;

  Parts PartsOf(int64_t step) const override {
    if (!q_.Synchronises(step)) return {};
    return {*q_.compressor->CommonSupport(q_.DrawOf(step)), Selection{}, Selection{}};
  }
  void Update(UpdateArgs<T> args) override {
    q_.Update(this->input().step, this->device_, args, this->input().pool);
  }
  void Apply(Bucket& b, T mean) override {
    T *const y = q_.synchronised.data(), *const x = this->input().values.data();
    ScatterAdd(this->device_, this->Move(b, 0, y, mean));
    this->device_.Wait();
    for (const Piece& p : b.moves[0]) std::copy_n(y + p.begin, p.count, x + p.begin);
  }
  void KeepResidual(Bucket& b) override {
    ScatterAdd(this->device_, this->MoveResidual(b, 0, q_.error.data()));
  }
  std::vector<StateBuffer<T>> OwnState() override { return q_.Buffers(); }

  QsparseState<T> q_;
};

// With a compressor that selects different places on every rank.
template <class T>
class GeneralQsparse : public Algorithm<T> {
 public:
  explicit GeneralQsparse(const AlgorithmSetting& s)
      : layout_(s.layout),
        q_(s),
        optimizer_(s.algorithm, s.layout),
        pieces_(PiecesOf(Range{0, s.layout.size()})) {}

  void Begin(std::span<const T> values) override {
    std::copy(values.begin(), values.end(), q_.synchronised.data());
  }

  void Step(const StepInput<T>& in) override {
    for (size_t slot = 0; slot < layout_.slots().size(); ++slot) optimizer_.Prepare(in, slot);
    UpdateArgs<T> args = optimizer_.Args(in);
    args.pieces = pieces_.data();
    args.piece_count = std::ssize(pieces_);
    q_.Update(in.step, Device::Cpu(), args, in.pool);
    if (!q_.Synchronises(in.step)) return;
    const std::span<T> y = q_.synchronised.span();
    q_.compressor->Exchange(q_.DrawOf(in.step), q_.error.span(), T{1}, y, in.ranks);
    std::copy(y.begin(), y.end(), in.values.begin());
  }

  std::vector<StateBuffer<T>> State() override {
    std::vector<StateBuffer<T>> state = q_.Buffers();
    optimizer_.AddState(state);
    return state;
  }
  Message MessageOf(int64_t step, int) const override {
    return q_.Synchronises(step) ? q_.compressor->MessageOf(q_.DrawOf(step)) : Message{};
  }

 private:
  const ArenaLayout& layout_;
  QsparseState<T> q_;
  LocalOptimizer<T> optimizer_;
  std::vector<Piece> pieces_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeQsparse(const AlgorithmSetting& setting) {
  if (setting.resolved.common_support) return std::make_unique<Qsparse<T>>(setting);
  return std::make_unique<GeneralQsparse<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeQsparse(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeQsparse(const AlgorithmSetting&);

}  // namespace orchard::sync
