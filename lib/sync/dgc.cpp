// Deep gradient compression: every rank sends the largest elements of an accumulated, momentum-
// corrected gradient, and forgets momentum and accumulation there (momentum factor masking):
//
//   u = beta u + g;  v += u;  M = largest |v| of every tensor;  x -= lr mean v[M];  v[M] = u[M] = 0
//
// Source: Lin et al., Deep Gradient Compression, 2018, Algorithm 4 and sec. 3.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "sync/make_algorithm.h"
#include "sync/top_k.h"

namespace orchard::sync {
namespace {

// Densities of the warm-up are 1/4, 1/16, 1/64 and 1/250.
constexpr double kWarmupRatios[] = {4, 16, 64, 250};

template <class T>
class Dgc : public Algorithm<T> {
 public:
  explicit Dgc(const AlgorithmSetting& s)
      : options_(s.algorithm),
        layout_(s.layout),
        ratio_(s.resolved.c1_selector.ratio),
        density_steps_(s.compress.density_steps),
        momentum_(s.layout.size()),
        accumulated_(s.layout.size()),
        mean_(s.layout.size()) {
    for (const double ratio : kWarmupRatios) top_.try_emplace(ratio, layout_, ratio, s.device);
    top_.try_emplace(ratio_, layout_, ratio_, s.device);
  }

  void Step(const StepInput<T>& in) override {
    const auto beta = static_cast<T>(options_.momentum);
    const auto decay = static_cast<T>(options_.weight_decay);
    const auto scale = static_cast<T>(in.gradient_scale);
    T *u = momentum_.data(), *v = accumulated_.data();
    for (int64_t i = 0; i < momentum_.size(); ++i) {
      u[i] = beta * u[i] + (in.gradient[i] * scale + decay * in.values[i]);
      v[i] += u[i];
    }
    top_.at(RatioAt(in.step)).template Select<T>(accumulated_.span(), places_);
    sent_.clear();
    for (const int32_t place : places_) {
      sent_.push_back(std::exchange(v[place], T{}));
      u[place] = 0;
    }
    mean_.Add(places_, sent_, static_cast<T>(-in.learning_rate), in.values, in.ranks);
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", momentum_.span()}, {"accumulated", accumulated_.span()}};
  }
  Message MessageOf(int64_t step, int) const override {
    return {0, SparseMean<T>::MessageBytes(top_.at(RatioAt(step)).count())};
  }
  bool OneModel() const override { return true; }

 private:
  double RatioAt(int64_t step) const {
    if (density_steps_ == 0) return ratio_;
    const auto stage = static_cast<size_t>((step - 1) / density_steps_);
    return stage < std::size(kWarmupRatios) ? std::min(kWarmupRatios[stage], ratio_) : ratio_;
  }

  AlgorithmOptions options_;
  const ArenaLayout& layout_;
  double ratio_;
  int64_t density_steps_;
  FlatBuffer<T> momentum_, accumulated_;
  SparseMean<T> mean_;
  std::map<double, TopK> top_;
  std::vector<int32_t> places_;
  std::vector<T> sent_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeDgc(const AlgorithmSetting& setting) {
  return std::make_unique<Dgc<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeDgc(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeDgc(const AlgorithmSetting&);

}  // namespace orchard::sync
