// CSER with momentum and its special cases. A rank's model is x_i = x^ + e_i, a common part and an
// error of its own. C2 picks what of a step is averaged at once; every H steps C1 picks what of the
// errors is averaged (reset).
//
//   CSEA       C2 = nothing, H = 1        CSER-PL    C2 = nothing, H > 1
//   local SGD  C2 = nothing, C1 = everything
//
// Source: CSER, Algorithms 2 and 4 (implementation I: the error is a buffer of its own); its
// released code (implementation II: the error is what the model differs by, so blocks of the model
// are averaged). With p the step of the momentum:
//
//   I   x -= mean C2(p) + (p - C2(p)),  e -= p - C2(p);   at a reset x += mean C1(e) - C1(e), e -=
//   C1(e) II  x -= p;  x[b] = mean x[b] for the blocks b of C2, or at a reset of C1 alone
#include <array>
#include <vector>

#include "base/error.h"
#include "sync/make_algorithm.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

template <class T>
class Cser : public Algorithm<T> {
 public:
  explicit Cser(const AlgorithmSetting& s)
      : options_(s.algorithm),
        interval_(s.resolved.interval),
        c1_(MakeCompressor<T>(s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1")),
        c2_(MakeCompressor<T>(s.resolved.c2, s.layout, s.resolved.c2_selector, s.seed, "C2")),
        momentum_(s.layout.size()) {}

  std::vector<StateBuffer<T>> State() override { return {{"momentum", momentum_.span()}}; }

 protected:
  bool IsReset(int64_t step) const { return step % interval_ == 0; }
  int64_t ResetDraw(int64_t step) const { return step / interval_ - 1; }

  // The blocks whose momentum is averaged in this step, too.
  Selection MomentumBlocks(int64_t step, const Selection& sent) const {
    return SendsMomenta(step) ? sent : Selection{};
  }
  bool SendsMomenta(int64_t step) const {
    return options_.momentum_sync == MomentumSync::kBlocks ||
           (options_.momentum_sync == MomentumSync::kReset && IsReset(step));
  }

  // The message of a step, in one piece: [first | second | third].
  void Resize(int64_t first, int64_t second, int64_t third) {
    wire_.resize(static_cast<size_t>(first + second + third));
    ends_ = {first, first + second, first + second + third};
  }
  std::span<T> Part(int i) {
    const int64_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::span(wire_).subspan(static_cast<size_t>(begin),
                                    static_cast<size_t>(ends_[i] - begin));
  }
  void Send(comm::Communicator& ranks) {
    if (!wire_.empty()) ranks.AllReduce(std::span<T>(wire_));
  }

  AlgorithmOptions options_;
  int64_t interval_;
  std::unique_ptr<Compressor<T>> c1_, c2_;
  FlatBuffer<T> momentum_;

 private:
  std::vector<T> wire_;
  std::array<int64_t, 3> ends_{};
};

template <class T>
class CserTwo : public Cser<T> {
 public:
  explicit CserTwo(const AlgorithmSetting& s) : Cser<T>(s) {}

  void Step(const StepInput<T>& in) override {
    const Selection sent = Blocks(in.step);
    const Selection momenta = this->MomentumBlocks(in.step, sent);
    this->Resize(sent.count, momenta.count, 0);
    LocalStep<T>(ScalarsOf(this->options_, in), this->options_.nag,
                 {.values = in.values, .gradient = in.gradient, .momentum = this->momentum_.span()},
                 sent, this->Part(0), in.pool);
    Gather<T>(this->momentum_.span(), momenta, this->Part(1));
    this->Send(in.ranks);
    const T mean = T{1} / static_cast<T>(in.ranks.size());
    Scatter<T>(this->Part(0), mean, sent, in.values);
    Scatter<T>(this->Part(1), mean, momenta, this->momentum_.span());
  }

  Message MessageOf(int64_t step) const override {
    const Selection sent = Blocks(step);
    return {sent.count + this->MomentumBlocks(step, sent).count, 0};
  }

 private:
  Selection Blocks(int64_t t) const {
    if (this->IsReset(t)) return *this->c1_->CommonSupport(this->ResetDraw(t));
    // Draws of C2 are counted without the resets, so that its cycles have no gaps.
    return *this->c2_->CommonSupport(t - 1 - (t - 1) / this->interval_);
  }
};

template <class T>
class CserOne : public Cser<T> {
 public:
  explicit CserOne(const AlgorithmSetting& s)
      : Cser<T>(s),
        fused_(this->c2_->CommonSupport(0) && this->c1_->CommonSupport(0)),
        error_(s.layout.size()) {
    if (!fused_) step_ = FlatBuffer<T>(s.layout.size());
    if (!fused_ && this->options_.momentum_sync != MomentumSync::kNone) {
      throw UsageError("momentum is averaged with blocks that all ranks select",
                       "optim.momentum_sync");
    }
  }

  void Step(const StepInput<T>& in) override {
    if (fused_) {
      StepFused(in);
    } else {
      StepGeneral(in);
    }
  }

  std::vector<StateBuffer<T>> State() override {
    return {{"momentum", this->momentum_.span()}, {"error", error_.span()}};
  }
  std::span<const T> error() const override { return error_.span(); }

  Message MessageOf(int64_t step) const override {
    const Message steps = this->c2_->MessageOf(step - 1);
    const bool reset = this->IsReset(step);
    const Message resets = reset ? this->c1_->MessageOf(this->ResetDraw(step)) : Message{};
    Message all = steps;
    all += resets;
    // Momenta are averaged where what is sent is dense.
    if (this->SendsMomenta(step)) all += reset ? resets : steps;
    return all;
  }

 private:
  Selection Resets(int64_t step) const {
    return this->IsReset(step) ? *this->c1_->CommonSupport(this->ResetDraw(step)) : Selection{};
  }
  Arenas<T> ArenasOf(const StepInput<T>& in) {
    return {in.values, in.gradient, this->momentum_.span(), error_.span(), {}};
  }

  // What of the error a reset sends is known once the step is split, before the mean of the steps
  // has arrived: both travel together.
  void StepFused(const StepInput<T>& in) {
    const Selection steps = *this->c2_->CommonSupport(in.step - 1), resets = Resets(in.step);
    const Selection momenta =
        this->MomentumBlocks(in.step, this->IsReset(in.step) ? resets : steps);
    this->Resize(steps.count, resets.count, momenta.count);
    SplitStep<T>(ScalarsOf(this->options_, in), this->options_.nag, ArenasOf(in), steps,
                 this->Part(0), in.pool);
    Gather<T>(error_.span(), resets, this->Part(1));
    Gather<T>(this->momentum_.span(), momenta, this->Part(2));
    this->Send(in.ranks);
    const T mean = T{1} / static_cast<T>(in.ranks.size());
    ScatterAdd<T>(this->Part(0), -mean, steps, in.values);
    ResetError<T>(this->Part(1), mean, resets, in.values, error_.span());
    Scatter<T>(this->Part(2), mean, momenta, this->momentum_.span());
  }

  void StepGeneral(const StepInput<T>& in) {
    const std::span<T> p = step_.span(), e = error_.span();
    MakeStep<T>(ScalarsOf(this->options_, in), this->options_.nag, ArenasOf(in), p, in.pool);
    this->c2_->Exchange(in.step - 1, p, T{-1}, in.values, in.ranks);
    Axpy<T>(T{-1}, p, in.values);  // p is now what was not sent
    Axpy<T>(T{-1}, p, e);
    if (!this->IsReset(in.step)) return;
    Axpy<T>(T{-1}, e, in.values);
    this->c1_->Exchange(this->ResetDraw(in.step), e, T{1}, in.values, in.ranks);
    Axpy<T>(T{1}, e, in.values);
  }

  // Whether what is sent is known before the step is, and the same for all ranks: then one pass and
  // one all-reduce do.
  bool fused_;
  FlatBuffer<T> error_, step_;
};

}  // namespace

template <class T>
std::unique_ptr<Algorithm<T>> MakeCser(const AlgorithmSetting& setting) {
  if (setting.resolved.implementation == 1) return std::make_unique<CserOne<T>>(setting);
  return std::make_unique<CserTwo<T>>(setting);
}
template std::unique_ptr<Algorithm<float>> MakeCser(const AlgorithmSetting&);
template std::unique_ptr<Algorithm<double>> MakeCser(const AlgorithmSetting&);

}  // namespace orchard::sync
