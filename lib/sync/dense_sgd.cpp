// Synchronous training: the gradients of all ranks are averaged in every step, in place. A narrow
// message is rounded, and what it leaves out is lost, as with the 16-bit hooks of other frameworks.
#include "sync/fused_algorithm.h"

namespace orchard::sync {
namespace {

template <class T>
class DenseSgd : public FusedAlgorithm<T> {
 public:
  explicit DenseSgd(const AlgorithmSetting& setting) : FusedAlgorithm<T>(setting, 0) {}

  bool OneModel() const override { return true; }

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;

  Parts PartsOf(int64_t) const override {
    Selection all;
    all.runs.push_back({0, this->layout_.size()});
    all.count = this->layout_.size();
    return {Selection{}, all, Selection{}};
  }

  bool SendsInPlace() const override { return true; }
  void Prepare(size_t) override {}  // steps are made of the mean
  void Update(UpdateArgs<T>) override {}

  void Load(Bucket& b) override {
    const StepInput<T>& in = this->input();
    b.message = in.gradient.subspan(static_cast<size_t>(b.region.begin),
                                    static_cast<size_t>(b.region.size()));
    if (in.gradient_scale == 1) return;
    // Another one on every rank: before the sum.
    this->device_.Wait();
    const T scale = static_cast<T>(in.gradient_scale);
    for (T& g : b.message) g *= scale;
  }

  void Apply(Bucket& b, T mean) override {
    StepInput<T> averaged = this->input();
    averaged.gradient_scale = static_cast<double>(mean);
    for (size_t slot = b.first_slot; slot < b.end_slot; ++slot) {
      this->optimizer_.Prepare(averaged, slot);
    }
    UpdateArgs<T> args = this->optimizer_.Args(averaged);
    args.pieces = b.early.data();
    args.piece_count = std::ssize(b.early);
    LocalStep(this->device_, args, averaged.pool);
  }

  void KeepResidual(Bucket&) override {}
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeDenseSgd(const AlgorithmSetting& setting) {
  return std::make_unique<DenseSgd<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeDenseSgd(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeDenseSgd(const AlgorithmSetting&);

}  // namespace orchard::sync
