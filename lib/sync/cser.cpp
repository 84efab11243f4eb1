// CSER with momentum and its special cases. A rank's model is x_i = x^ + e_i, a common part and an
// error of its own. C2 picks what of a step is averaged at once; every H steps C1 picks what of the
// errors is averaged (reset).
//
//   CSEA       C2 = nothing, H = 1        CSER-PL    C2 = nothing, H > 1
//   local SGD  C2 = nothing, C1 = everything
//
// With p the step of a rank's own optimiser:
//
//   I   x -= mean C2(p) + (p - C2(p)),  e -= p - C2(p);
//       at a reset x += mean C1(e) - C1(e), e -= C1(e)
//   II  x -= p;  x[b] = mean x[b] for the blocks b of C2, or at a reset of C1 alone
//
// I keeps the error in a buffer of its own. In II it is what the models differ by, so blocks of the
// models are averaged. Gradients may be taken at x^ + theta e (I): theta = 1 is CSER, 0 error
// feedback. The arena then holds x^ + theta e.
//
// Source: CSER, Algorithms 2 and 4 (I); its released code (II); docs/methods/cser-train.md for
// theta.
#include <vector>

#include "sync/cser_schedule.h"
#include "sync/fused_algorithm.h"

namespace orchard::sync {
namespace {

template <class T>
class CserTwo : public FusedAlgorithm<T> {
 public:
  explicit CserTwo(const AlgorithmSetting& s)
      : FusedAlgorithm<T>(s, 0), schedule_(s, /*alternating=*/true) {}

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;
  enum : size_t { kModels, kMomenta, kSecondMoments };

  Parts PartsOf(int64_t step) const override {
    Parts parts;
    parts[kModels] = schedule_.Alternating(step);
    if (schedule_.SendsMomenta(step)) parts[kMomenta] = parts[kModels];
    if (schedule_.SendsSecondMoments(step)) parts[kSecondMoments] = parts[kModels];
    return parts;
  }
  void Update(UpdateArgs<T> args) override { LocalStep(this->device_, args, this->input().pool); }
  void Load(Bucket& b) override {
    Gather(this->device_, this->Move(b, kMomenta, this->optimizer_.momentum().data()));
    Gather(this->device_, this->Move(b, kSecondMoments, this->optimizer_.second_moment().data()));
  }
  void Apply(Bucket& b, T mean) override {
    Scatter(this->device_, this->Move(b, kModels, this->input().values.data(), mean));
    Scatter(this->device_, this->Move(b, kMomenta, this->optimizer_.momentum().data(), mean));
    Scatter(this->device_,
            this->Move(b, kSecondMoments, this->optimizer_.second_moment().data(), mean));
  }
  void KeepResidual(Bucket&) override {}  // full messages only

  CserSchedule<T> schedule_;
};

// I, where both compressors select the same places on all ranks: what of the error a reset sends is
// known once the step is split, before the mean of the steps has arrived, so both travel together.
template <class T>
class CserOne : public FusedAlgorithm<T> {
 public:
  explicit CserOne(const AlgorithmSetting& s)
      : FusedAlgorithm<T>(s, 0),
        schedule_(s, /*alternating=*/false),
        theta_(static_cast<T>(s.compress.theta)),
        error_(s.layout.size(), s.device.arenas()) {}

  std::span<const T> error() const override { return error_.span(); }
  void AddHeldBack(std::span<T> values) const override {
    if (theta_ != 1) Axpy<T>(1 - theta_, error_.data(), values.data(), error_.size());
  }
  void RemoveErrors(std::span<T> values) const override {
    Axpy<T>(-theta_, error_.data(), values.data(), error_.size());
  }

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;
  enum : size_t { kSteps, kErrors, kMomenta, kSecondMoments };

  Parts PartsOf(int64_t step) const override {
    Parts parts;
    parts[kSteps] = schedule_.Steps(step);
    parts[kErrors] = schedule_.Resets(step);
    const Selection& blocks = schedule_.IsReset(step) ? parts[kErrors] : parts[kSteps];
    if (schedule_.SendsMomenta(step)) parts[kMomenta] = blocks;
    if (schedule_.SendsSecondMoments(step)) parts[kSecondMoments] = blocks;
    return parts;
  }
  void Update(UpdateArgs<T> args) override {
    args.error = error_.data();
    args.theta = theta_;
    SplitStep(this->device_, args, this->input().pool);
  }
  void Load(Bucket& b) override {
    Gather(this->device_, this->Move(b, kErrors, error_.data()));
    Gather(this->device_, this->Move(b, kMomenta, momentum()));
    Gather(this->device_, this->Move(b, kSecondMoments, second_moment()));
  }
  void Apply(Bucket& b, T mean) override {
    T* const x = this->input().values.data();
    ScatterAdd(this->device_, this->Move(b, kSteps, x, -mean));
    ResetError(this->device_, this->Move(b, kErrors, x, mean), theta_, error_.data());
    Scatter(this->device_, this->Move(b, kMomenta, momentum(), mean));
    Scatter(this->device_, this->Move(b, kSecondMoments, second_moment(), mean));
  }
  void KeepResidual(Bucket& b) override {
    T* const x = this->input().values.data();
    ScatterAdd(this->device_, this->MoveResidual(b, kSteps, x, -theta_));
    ScatterAdd(this->device_, this->MoveResidual(b, kSteps, error_.data(), T{-1}));
    ScatterAdd(this->device_, this->MoveResidual(b, kErrors, x, theta_));
    ScatterAdd(this->device_, this->MoveResidual(b, kErrors, error_.data()));
    ScatterAdd(this->device_, this->MoveResidual(b, kMomenta, momentum()));
  }
  std::vector<StateBuffer<T>> OwnState() override { return {{"error", error_.span()}}; }
  T* momentum() const { return this->optimizer_.momentum().data(); }
  T* second_moment() const { return this->optimizer_.second_moment().data(); }

  CserSchedule<T> schedule_;
  T theta_;
  FlatBuffer<T> error_;
};

// I with compressors that select different places on every rank.
template <class T>
class CserOneGeneral : public Algorithm<T> {
 public:
  explicit CserOneGeneral(const AlgorithmSetting& s)
      : schedule_(s, /*alternating=*/false),
        optimizer_(s.algorithm, s.layout),
        error_(s.layout.size()),
        step_(s.layout.size()) {}

  void Step(const StepInput<T>& in) override {
    const std::span<T> p = step_.span(), e = error_.span();
    const int64_t size = error_.size();
    T* const x = in.values.data();
    optimizer_.MakeStep(in, p);
    schedule_.c2().Exchange(schedule_.StepDraw(in.step), p, T{-1}, in.values, in.ranks);
    Axpy<T>(T{-1}, p.data(), x, size);  // p is now what was not sent
    Axpy<T>(T{-1}, p.data(), e.data(), size);
    if (!schedule_.IsReset(in.step)) return;
    Axpy<T>(T{-1}, e.data(), x, size);
    schedule_.c1().Exchange(schedule_.ResetDraw(in.step), e, T{1}, in.values, in.ranks);
    Axpy<T>(T{1}, e.data(), x, size);
  }

  std::vector<StateBuffer<T>> State() override {
    std::vector<StateBuffer<T>> state;
    optimizer_.AddState(state);
    state.push_back({"error", error_.span()});
    return state;
  }
  std::span<const T> error() const override { return error_.span(); }

  Message MessageOf(int64_t step, int) const override {
    Message all = schedule_.c2().MessageOf(schedule_.StepDraw(step));
    if (schedule_.IsReset(step)) all += schedule_.c1().MessageOf(schedule_.ResetDraw(step));
    return all;
  }

 private:
  CserSchedule<T> schedule_;
  LocalOptimizer<T> optimizer_;
  FlatBuffer<T> error_, step_;
};

// II with the error in a buffer of its own, whose means arrive `delay` steps late. With s_i the
// snapshot of the blocks that are sent:
//
//   x -= p, e -= p;  s = e[b], e[b] = 0, s is sent;  when the mean arrives x[b] += mean s - s
//
// The mean model moves by the mean step at all times, and x_i - e_i - (snapshots on their way) is
// the same on all ranks. Messages of the same blocks may be on their way together: corrections add.
template <class T>
class CserDelayed : public FusedAlgorithm<T> {
 public:
  explicit CserDelayed(const AlgorithmSetting& s)
      : FusedAlgorithm<T>(s, s.resolved.delay),
        schedule_(s, /*alternating=*/true),
        theta_(static_cast<T>(s.compress.theta)),
        error_(s.layout.size(), s.device.arenas()) {}

  std::span<const T> error() const override { return error_.span(); }
  void AddHeldBack(std::span<T> values) const override {
    if (theta_ != 1) AddErrors(1 - theta_, values);
  }
  void RemoveErrors(std::span<T> values) const override { AddErrors(-theta_, values); }

 private:
  using Bucket = typename FusedAlgorithm<T>::Bucket;
  using Parts = typename FusedAlgorithm<T>::Parts;
  enum : size_t { kNothing, kErrors };

  // values += factor (e + snapshots on their way)
  void AddErrors(T factor, std::span<T> values) const {
    Axpy<T>(factor, error_.data(), values.data(), error_.size());
    for (const std::vector<Bucket>& flight : this->flights()) {
      for (const Bucket& b : flight) {
        for (const Piece& p : b.moves[kErrors]) {
          Axpy<T>(factor, b.snapshot.data() + p.wire, values.data() + p.begin, p.count);
        }
      }
    }
  }

  Parts PartsOf(int64_t step) const override {
    Parts parts;
    parts[kErrors] = schedule_.Alternating(step);
    return parts;
  }
  void Update(UpdateArgs<T> args) override {
    args.error = error_.data();
    args.theta = theta_;
    SplitStep(this->device_, args, this->input().pool);
  }
  void Load(Bucket& b) override { Take(this->device_, this->Move(b, kErrors, error_.data())); }
  void Apply(Bucket& b, T mean) override {
    T* const x = this->input().values.data();
    ScatterAdd(this->device_, this->Move(b, kErrors, x, mean));
    MoveArgs<T> own = this->Move(b, kErrors, x, -theta_);
    own.wire = b.snapshot.data();
    ScatterAdd(this->device_, own);
  }
  void KeepResidual(Bucket& b) override {
    ScatterAdd(this->device_, this->MoveResidual(b, kErrors, this->input().values.data(), theta_));
    ScatterAdd(this->device_, this->MoveResidual(b, kErrors, error_.data()));
  }
  std::vector<StateBuffer<T>> OwnState() override { return {{"error", error_.span()}}; }

  CserSchedule<T> schedule_;
  T theta_;
  FlatBuffer<T> error_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeCser(const AlgorithmSetting& s) {
  if (s.resolved.delay > 0) return std::make_unique<CserDelayed<T>>(s);
  if (s.resolved.implementation == 2) return std::make_unique<CserTwo<T>>(s);
  if (s.resolved.common_support) return std::make_unique<CserOne<T>>(s);
  return std::make_unique<CserOneGeneral<T>>(s);
}
template std::unique_ptr<Algorithm<float>> MakeCser(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeCser(const AlgorithmSetting&);

}  // namespace orchard::sync
