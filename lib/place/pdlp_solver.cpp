#include "place/pdlp_solver.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/signals.h"

namespace orchard::place {
namespace {

constexpr int kBetweenChecks = 64;  // attempts
// A restart comes when the error fell to a fifth; or to four fifths and rises again; or after as
// many attempts as this part of all.
constexpr double kSufficient = 0.2, kNecessary = 0.8, kArtificial = 0.36;
constexpr double kOmegaMemory = 0.5;

double Norm(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x * x;
  return std::sqrt(sum);
}

class PdlpLoop {
 public:
  PdlpLoop(const LinearProgramme& programme, const PdlpOptions& options)
      : options_(options),
        scaled_(Scale(programme)),
        rhs_norm_(Norm(programme.rhs)),
        cost_norm_(Norm(programme.cost)) {}

  PdlpResult Run(std::vector<double> z, std::vector<double> y) {
    Start(z, y);
    double at_restart = Error(machine_->Measure(PdlpPoint::kCurrent));
    if (Done()) return Result(PdlpPoint::kCurrent);
    machine_->Restart(PdlpPoint::kCurrent);
    double before = at_restart;
    int64_t since = 0;
    const double begin = SecondsNow();
    while (true) {
      machine_->Iterate(kBetweenChecks);
      result_.attempts += kBetweenChecks;
      since += kBetweenChecks;
      const double current = Error(machine_->Measure(PdlpPoint::kCurrent));
      if (Done()) return Result(PdlpPoint::kCurrent);
      const double average = Error(machine_->Measure(PdlpPoint::kAverage));
      if (Done()) return Result(PdlpPoint::kAverage);
      // Without an accepted step there is no average, and its error is no number.
      const PdlpPoint better = average < current ? PdlpPoint::kAverage : PdlpPoint::kCurrent;
      if (result_.attempts >= options_.max_attempts || StopRequested() ||
          SecondsNow() - begin > options_.time_limit_seconds) {
        Error(machine_->Measure(better));
        return Result(better);
      }
      const double error = better == PdlpPoint::kAverage ? average : current;
      const bool restart =
          error <= kSufficient * at_restart ||
          (error <= kNecessary * at_restart && error > before) ||
          static_cast<double>(since) >= kArtificial * static_cast<double>(result_.attempts);
      before = error;
      if (!restart) continue;
      Restart(better);
      at_restart = error;
      since = 0;
    }
  }

 private:
  void Start(std::vector<double>& z, std::vector<double>& y) {
    const LinearProgramme& lp = scaled_.programme;
    z.resize(lp.columns(), 0);
    y.resize(lp.rows.size(), 0);
    for (int32_t j = 0; j < lp.columns(); ++j)
      z[j] = std::clamp(z[j] / scaled_.column_scale[j], lp.lower[j], lp.upper[j]);
    for (int32_t r = 0; r < lp.rows.size(); ++r) y[r] = std::max(0.0, y[r] / scaled_.row_scale[r]);
    const double cost = Norm(lp.cost), rhs = Norm(lp.rhs);
    PdlpControl control;
    control.omega = cost > 0 && rhs > 0 ? cost / rhs : 1;
    control.eta = scaled_.largest > 0 ? 1 / scaled_.largest : 1;
    if (options_.gpu >= 0) machine_ = PdlpOnGpu(scaled_, control, z, y, options_.gpu);
    if (!machine_) machine_ = PdlpOnCpu(scaled_, control, z, y, options_.threads);
    omega_ = control.omega;
  }

  // The error that restarts look at: the two relative residuals and the gap, in one norm.
  double Error(const PdlpFacts& facts) {
    result_.primal_objective = facts.primal_objective;
    result_.dual_objective = facts.dual_rows + facts.dual_bounds;
    result_.primal_residual = std::sqrt(facts.primal_residual2) / (1 + rhs_norm_);
    result_.dual_residual = std::sqrt(facts.dual_residual2) / (1 + cost_norm_);
    result_.gap = std::abs(result_.primal_objective - result_.dual_objective) /
                  (1 + std::abs(result_.primal_objective) + std::abs(result_.dual_objective));
    return std::sqrt(result_.primal_residual * result_.primal_residual +
                     result_.dual_residual * result_.dual_residual + result_.gap * result_.gap);
  }

  bool Done() {
    result_.solved = result_.primal_residual <= options_.tolerance &&
                     result_.dual_residual <= options_.tolerance &&
                     result_.gap <= options_.tolerance;
    return result_.solved;
  }

  // Goes on from a point, with an omega that balances how far primal and dual moved.
  void Restart(PdlpPoint point) {
    machine_->Measure(point);
    const PdlpFacts moved = machine_->Restart(point);
    ++result_.restarts;
    if (moved.moved_z2 > 1e-20 && moved.moved_y2 > 1e-20) {
      const double ratio = std::sqrt(moved.moved_y2 / moved.moved_z2);
      omega_ = std::exp(kOmegaMemory * std::log(ratio) + (1 - kOmegaMemory) * std::log(omega_));
      machine_->SetOmega(omega_);
    }
  }

  PdlpResult Result(PdlpPoint point) {
    machine_->Read(point, result_.z, result_.y);
    for (size_t j = 0; j < result_.z.size(); ++j) result_.z[j] *= scaled_.column_scale[j];
    for (size_t r = 0; r < result_.y.size(); ++r) result_.y[r] *= scaled_.row_scale[r];
    return std::move(result_);
  }

  const PdlpOptions& options_;
  ScaledProgramme scaled_;
  double rhs_norm_, cost_norm_, omega_ = 1;
  std::unique_ptr<PdlpMachine> machine_;
  PdlpResult result_;
};

}  // namespace

PdlpResult SolvePdlp(const LinearProgramme& programme, const PdlpOptions& options,
                     const std::vector<double>& z, const std::vector<double>& y) {
  return PdlpLoop(programme, options).Run(z, y);
}

}  // namespace orchard::place
