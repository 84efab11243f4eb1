// QSparse-local-SGD: local steps, and every H steps the compressed progress since the last
// synchronisation is averaged. Progress outside the message is taken out of the model and
// remembered: with y the synchronised model,
//
//   e += x - y;  y += mean C(e);  e -= C(e);  x = y
//
// Source: Basu et al., Qsparse-local-SGD, 2019, Algorithm 1.
#include <algorithm>
#include <vector>

#include "sync/make_algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

template <class T>
class Qsparse : public Algorithm<T> {
 public:
  explicit Qsparse(const AlgorithmSetting& s)
      : options_(s.algorithm),
        interval_(s.resolved.interval),
        compressor_(
            MakeCompressor<T>(s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1")),
        momentum_(s.layout.size()),
        error_(s.layout.size()),
        synchronised_(s.layout.size()) {}

  void Begin(std::span<const T> values) override {
    std::copy(values.begin(), values.end(), synchronised_.data());
  }

  void Step(const StepInput<T>& in) override {
    const StepScalars<T> scalars = ScalarsOf(options_, in);
    const Arenas<T> arenas{in.values, in.gradient, momentum_.span(), error_.span(),
                           synchronised_.span()};
    if (in.step % interval_ != 0) {
      return LocalStep<T>(scalars, options_.nag, arenas, {}, {}, in.pool);
    }
    const std::span<T> y = synchronised_.span();
    const int64_t draw = in.step / interval_ - 1;
    const auto support = compressor_->CommonSupport(draw);
    const Selection sent = support.value_or(Selection{});
    wire_.resize(static_cast<size_t>(sent.count));
    QsparseStep<T>(scalars, options_.nag, arenas, sent, wire_, in.pool);
    if (!support) {
      compressor_->Exchange(draw, error_.span(), T{1}, y, in.ranks);
      std::copy(y.begin(), y.end(), in.values.begin());
      return;
    }
    if (sent.count == 0) return;
    in.ranks.AllReduce(std::span<T>(wire_));
    ScatterAdd<T>(wire_, T{1} / static_cast<T>(in.ranks.size()), sent, y);
    for (const Range& run : sent.runs) {
      std::copy_n(y.begin() + run.begin, run.size(), in.values.begin() + run.begin);
    }
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", momentum_.span()},
            {"error", error_.span()},
            {"synchronised", synchronised_.span()}};
  }
  Message MessageOf(int64_t step) const override {
    return step % interval_ == 0 ? compressor_->MessageOf(step / interval_ - 1) : Message{};
  }

 private:
  AlgorithmOptions options_;
  int64_t interval_;
  std::unique_ptr<Compressor<T>> compressor_;
  FlatBuffer<T> momentum_, error_, synchronised_;
  std::vector<T> wire_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeQsparse(const AlgorithmSetting& setting) {
  return std::make_unique<Qsparse<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeQsparse(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeQsparse(const AlgorithmSetting&);

}  // namespace orchard::sync
