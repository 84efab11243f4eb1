// EF-SGD: one model on all ranks; what a message leaves out of a rank's step is remembered and
// added to a later one. Momentum comes before compression, weight decay has a momentum of its own
// and is applied uncompressed (as in CSER's released code). With the compressor exchanged the same
// loop is top-k, random-k, scaled sign and int8 with error feedback.
//
// Source: Karimireddy et al., Error Feedback Fixes SignSGD, 2019; Stich et al., Sparsified SGD with
// Memory, 2018.
#include <vector>

#include "sync/make_algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

template <class T>
class ErrorFeedbackSgd : public Algorithm<T> {
 public:
  explicit ErrorFeedbackSgd(const AlgorithmSetting& s)
      : options_(s.algorithm),
        compressor_(
            MakeCompressor<T>(s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1")),
        momentum_(s.layout.size()),
        decay_momentum_(s.layout.size()),
        error_(s.layout.size()) {}

  void Step(const StepInput<T>& in) override {
    const auto support = compressor_->CommonSupport(in.step - 1);
    const Selection sent = support.value_or(Selection{});
    wire_.resize(static_cast<size_t>(sent.count));
    const Arenas<T> arenas{in.values, in.gradient, momentum_.span(), error_.span(),
                           decay_momentum_.span()};
    ErrorFeedback<T>(ScalarsOf(options_, in), arenas, sent, wire_, in.pool);
    if (!support) {
      return compressor_->Exchange(in.step - 1, error_.span(), T{-1}, in.values, in.ranks);
    }
    if (sent.count == 0) return;
    in.ranks.AllReduce(std::span<T>(wire_));
    ScatterAdd<T>(wire_, T{-1} / static_cast<T>(in.ranks.size()), sent, in.values);
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", momentum_.span()},
            {"decay_momentum", decay_momentum_.span()},
            {"error", error_.span()}};
  }
  Message MessageOf(int64_t step) const override { return compressor_->MessageOf(step - 1); }
  bool OneModel() const override { return true; }

 private:
  AlgorithmOptions options_;
  std::unique_ptr<Compressor<T>> compressor_;
  FlatBuffer<T> momentum_, decay_momentum_, error_;
  std::vector<T> wire_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeErrorFeedback(const AlgorithmSetting& setting) {
  return std::make_unique<ErrorFeedbackSgd<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeErrorFeedback(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeErrorFeedback(const AlgorithmSetting&);

}  // namespace orchard::sync
