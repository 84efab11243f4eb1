// EF21 with momentum: every rank sends the compressed change of its momentum estimate v_i against
// what the others believe it to be, h_i:
//
//   v_i = (1 - a) v_i + a g_i;  c_i = C(v_i - h_i);  h_i += c_i;  h += mean c_i;  x -= lr h
//
// Source: Fatkhullin et al., Momentum Provably Improves Error Feedback!, 2023 (EF21-SGDM).
#include "sync/make_algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

template <class T>
class Ef21 : public Algorithm<T> {
 public:
  explicit Ef21(const AlgorithmSetting& s)
      : options_(s.algorithm),
        weight_(static_cast<T>(s.compress.ef21_momentum)),
        compressor_(MakeCompressor<T>(s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1",
                                      s.device)),
        estimate_(s.layout.size()),
        own_(s.layout.size()),
        mean_(s.layout.size()),
        change_(s.layout.size()) {}

  void Step(const StepInput<T>& in) override {
    const auto decay = static_cast<T>(options_.weight_decay);
    const auto scale = static_cast<T>(in.gradient_scale);
    const auto rate = static_cast<T>(in.learning_rate);
    T *v = estimate_.data(), *h = own_.data(), *d = change_.data();
    for (int64_t i = 0; i < estimate_.size(); ++i) {
      v[i] = (1 - weight_) * v[i] + weight_ * (in.gradient[i] * scale + decay * in.values[i]);
      d[i] = v[i] - h[i];
    }
    compressor_->Exchange(in.step - 1, change_.span(), T{1}, mean_.span(), in.ranks);
    for (int64_t i = 0; i < estimate_.size(); ++i) h[i] = v[i] - d[i];
    Axpy<T>(-rate, mean_.data(), in.values.data(), mean_.size());
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"estimate", estimate_.span()}, {"own", own_.span()}, {"mean", mean_.span()}};
  }
  Message MessageOf(int64_t step, int) const override { return compressor_->MessageOf(step - 1); }
  bool OneModel() const override { return true; }

 private:
  AlgorithmOptions options_;
  T weight_;
  std::unique_ptr<Compressor<T>> compressor_;
  FlatBuffer<T> estimate_, own_, mean_, change_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeEf21(const AlgorithmSetting& setting) {
  return std::make_unique<Ef21<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeEf21(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeEf21(const AlgorithmSetting&);

}  // namespace orchard::sync
