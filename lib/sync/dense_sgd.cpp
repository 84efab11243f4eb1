// Synchronous SGD: the gradients of all ranks are averaged in every step.
#include "sync/make_algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

template <class T>
class DenseSgd : public Algorithm<T> {
 public:
  explicit DenseSgd(const AlgorithmSetting& setting)
      : options_(setting.algorithm), momentum_(setting.layout.size()) {}

  void Step(const StepInput<T>& in) override {
    StepScalars<T> scalars = ScalarsOf(options_, in);
    if (in.gradient_scale != 1) {  // another one on every rank: before the sum
      for (T& g : in.gradient) g *= scalars.gradient_scale;
    }
    in.ranks.AllReduce(in.gradient);
    scalars.gradient_scale = T{1} / static_cast<T>(in.ranks.size());
    LocalStep<T>(scalars, options_.nag,
                 {.values = in.values, .gradient = in.gradient, .momentum = momentum_.span()}, {},
                 {}, in.pool);
  }

  std::vector<StateBuffer<T>> State() override { return {{"momentum", momentum_.span()}}; }
  Message MessageOf(int64_t) const override { return {momentum_.size(), 0}; }
  bool OneModel() const override { return true; }

 private:
  AlgorithmOptions options_;
  FlatBuffer<T> momentum_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeDenseSgd(const AlgorithmSetting& setting) {
  return std::make_unique<DenseSgd<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeDenseSgd(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeDenseSgd(const AlgorithmSetting&);

}  // namespace orchard::sync
