#include <algorithm>

#include "place/pdlp_solver.h"

namespace orchard::place {
namespace {

class CpuMachine : public PdlpMachine {
 public:
  CpuMachine(const ScaledProgramme& scaled, const PdlpControl& control,
             const std::vector<double>& z, const std::vector<double>& y, int threads)
      : pool_(std::max(1, threads)), control_(control) {
    const LinearProgramme& lp = scaled.programme;
    args_.rows = lp.rows.size();
    args_.columns = lp.columns();
    args_.row_begin = lp.rows.begin.data();
    args_.row_index = lp.rows.index.data();
    args_.row_value = lp.rows.value.data();
    args_.column_begin = scaled.columns.begin.data();
    args_.column_index = scaled.columns.index.data();
    args_.column_value = scaled.columns.value.data();
    args_.cost = lp.cost.data();
    args_.lower = lp.lower.data();
    args_.upper = lp.upper.data();
    args_.rhs = lp.rhs.data();
    args_.row_scale = scaled.row_scale.data();
    args_.column_scale = scaled.column_scale.data();
    const std::vector<double> no_columns(z.size(), 0), no_rows(y.size(), 0);
    args_.z[0] = Keep(z);
    args_.z[1] = Keep(z);
    args_.y[0] = Keep(y);
    args_.y[1] = Keep(y);
    args_.az[0] = Keep(no_rows);
    args_.az[1] = Keep(no_rows);
    args_.z_sum = Keep(no_columns);
    args_.y_sum = Keep(no_rows);
    args_.z_average = Keep(no_columns);
    args_.y_average = Keep(no_rows);
    args_.az_measured = Keep(no_rows);
    args_.z_restart = Keep(z);
    args_.y_restart = Keep(y);
    args_.partial =
        Keep(std::vector<double>(3 * (PdlpChunks(args_.rows) + PdlpChunks(args_.columns)), 0));
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
