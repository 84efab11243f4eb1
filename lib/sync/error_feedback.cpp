// EF-SGD: one model on all ranks; what a message leaves out of a rank's step is remembered and
// added to a later one. Momentum comes before compression, weight decay has a momentum of its own
// and is applied uncompressed (as in CSER's released code). With the compressor exchanged the same
// loop is top-k, random-k, scaled sign and int8 with error feedback.
//
// Source: Karimireddy et al., Error Feedback Fixes SignSGD, 2019; Stich et al., Sparsified SGD with
// Memory, 2018.
#include <vector>

#include "sync/fused_algorithm.h"

namespace orchard::sync {
namespace {

template <class T>
class ErrorFeedbackSgd : public FusedAlgorithm<T> {
 public:
  explicit ErrorFeedbackSgd(const AlgorithmSetting& s)
      : FusedAlgorithm<T>(s, 0),
        compressor_(MakeStagedCompressor<T>(
            s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1", s.stages,
            [](int64_t t) { return t - 1; }, s.device)),
        decay_momentum_(s.layout.size(), s.device.arenas()),
        error_(s.layout.size(), s.device.arenas()) {}

  bool OneModel() const override { return true; }

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;

  Parts PartsOf(int64_t step) const override {
    return {*compressor_->CommonSupport(step - 1), Selection{}, Selection{}};
  }
  void Update(UpdateArgs<T> args) override {
    args.error = error_.data();
    args.extra = decay_momentum_.data();
    ErrorFeedback(this->device_, args, this->input().pool);
  }
  void Apply(Bucket& b, T mean) override {
    ScatterAdd(this->device_, this->Move(b, 0, this->input().values.data(), -mean));
  }
  void KeepResidual(Bucket& b) override {
    ScatterAdd(this->device_, this->MoveResidual(b, 0, error_.data()));
  }
  std::vector<StateBuffer<T>> OwnState() override {
    return {{"decay_momentum", decay_momentum_.span()}, {"error", error_.span()}};
  }

  std::unique_ptr<Compressor<T>> compressor_;
  FlatBuffer<T> decay_momentum_, error_;
};

// With a compressor that selects different places on every rank.
template <class T>
class GeneralErrorFeedback : public Algorithm<T> {
 public:
  explicit GeneralErrorFeedback(const AlgorithmSetting& s)
      : compressor_(MakeStagedCompressor<T>(
            s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1", s.stages,
            [](int64_t t) { return t - 1; }, s.device)),
        optimizer_(s.algorithm, s.layout),
        decay_momentum_(s.layout.size()),
        error_(s.layout.size()),
        pieces_(PiecesOf(Range{0, s.layout.size()})) {}

  void Step(const StepInput<T>& in) override {
    UpdateArgs<T> args = optimizer_.Args(in);
    args.error = error_.data();
    args.extra = decay_momentum_.data();
    args.pieces = pieces_.data();
    args.piece_count = std::ssize(pieces_);
    ErrorFeedback(args, in.pool);
    compressor_->Exchange(in.step - 1, error_.span(), T{-1}, in.values, in.ranks);
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", optimizer_.momentum()},
            {"decay_momentum", decay_momentum_.span()},
            {"error", error_.span()}};
  }
  Message MessageOf(int64_t step, int) const override { return compressor_->MessageOf(step - 1); }
  bool OneModel() const override { return true; }

 private:
  std::unique_ptr<Compressor<T>> compressor_;
  LocalOptimizer<T> optimizer_;
  FlatBuffer<T> decay_momentum_, error_;
  std::vector<Piece> pieces_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeErrorFeedback(const AlgorithmSetting& setting) {
  if (setting.resolved.common_support) return std::make_unique<ErrorFeedbackSgd<T>>(setting);
  return std::make_unique<GeneralErrorFeedback<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeErrorFeedback(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeErrorFeedback(const AlgorithmSetting&);

}  // namespace orchard::sync
