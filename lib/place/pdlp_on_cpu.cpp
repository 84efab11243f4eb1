#include <algorithm>
#include <utility>

#include "place/pdlp_arrays.h"
#include "place/pdlp_solver.h"

namespace orchard::place {
namespace {

class CpuMachine : public PdlpMachine {
 public:
  CpuMachine(const ScaledProgramme& scaled, const PdlpControl& control,
             const std::vector<double>& z, const std::vector<double>& y, int threads)
      : pool_(std::max(1, threads)), control_(control) {
    SetPdlpArrays(
        scaled, z, y, [](const auto& values) { return values.data(); },
        [this](std::vector<double> values) { return Keep(std::move(values)); }, args_);
    args_.control = &control_;
    args_.facts = &facts_;
  }

  void Iterate(int attempts) override { PdlpIterate(args_, attempts, pool_); }
  PdlpFacts Measure(PdlpPoint point) override {
    PdlpMeasure(args_, point, pool_);
    return facts_;
  }
  PdlpFacts Restart(PdlpPoint point) override {
    PdlpRestart(args_, point, pool_);
    return facts_;
  }
  PdlpControl control() const override { return control_; }
  void SetOmega(double omega) override { control_.omega = omega; }
  void Read(PdlpPoint point, std::vector<double>& z, std::vector<double>& y) override {
    const bool average = point == PdlpPoint::kAverage;
    const double* from_z = average ? args_.z_average : args_.z[control_.current];
    const double* from_y = average ? args_.y_average : args_.y[control_.current];
    z.assign(from_z, from_z + args_.columns);
    y.assign(from_y, from_y + args_.rows);
  }

 private:
  double* Keep(std::vector<double> values) {
    kept_.push_back(std::move(values));
    return kept_.back().data();
  }

  ThreadPool pool_;
  PdlpControl control_;
  PdlpFacts facts_;
  PdlpArgs args_;
  std::vector<std::vector<double>> kept_;
};

}  // namespace

std::unique_ptr<PdlpMachine> PdlpOnCpu(const ScaledProgramme& programme, const PdlpControl& control,
                                       const std::vector<double>& z, const std::vector<double>& y,
                                       int threads) {
  return std::make_unique<CpuMachine>(programme, control, z, y, threads);
}

}  // namespace orchard::place
