// PDLP (Applegate et al., 2021): the primal-dual hybrid gradient method for large linear
// programmes, with scaling, adaptive steps, averages and restarts. On the CPU or a CUDA device,
// with the same bits for any number of threads and on either.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "place/linear_programme.h"
#include "place/pdlp.h"
#include "place/pdlp_scaling.h"

namespace orchard::place {

struct PdlpOptions {
  double tolerance = 1e-4;  // of the relative residuals and gap
  double time_limit_seconds = 1e30;
  int64_t max_attempts = INT64_MAX / 2;  // steps, refused ones included
  int threads = 1;
  int gpu = -1;  // index of a CUDA device; -1, or no kernels in this build: the CPU
};

struct PdlpResult {
  std::vector<double> z, y;
  double primal_objective = 0, dual_objective = 0;
  // ||max(0, b - A z)|| / (1 + ||b||), ||violated reduced costs|| / (1 + ||c||) and
  // |primal - dual| / (1 + |primal| + |dual|).
  double primal_residual = 0, dual_residual = 0, gap = 0;
  int64_t attempts = 0, restarts = 0;
  bool solved = false;  // within the tolerance; else a limit struck
};

// `z` and `y` are where to begin; empty: the point within the bounds that is nearest to 0, and 0.
PdlpResult SolvePdlp(const LinearProgramme& programme, const PdlpOptions& options,
                     const std::vector<double>& z = {}, const std::vector<double>& y = {});

// Where the iteration runs: the arrays of PdlpArgs, and the steps on them.
class PdlpMachine {
 public:
  virtual ~PdlpMachine() = default;
  virtual void Iterate(int attempts) = 0;
  virtual PdlpFacts Measure(PdlpPoint point) = 0;
  virtual PdlpFacts Restart(PdlpPoint point) = 0;  // of the point measured last
  virtual PdlpControl control() const = 0;
  virtual void SetOmega(double omega) = 0;
  // The scaled point; the average as it was measured.
  virtual void Read(PdlpPoint point, std::vector<double>& z, std::vector<double>& y) = 0;
};

// `z` and `y` are scaled; `programme` must outlive the machine.
std::unique_ptr<PdlpMachine> PdlpOnCpu(const ScaledProgramme& programme, const PdlpControl& control,
                                       const std::vector<double>& z, const std::vector<double>& y,
                                       int threads);
// nullptr where there is no device, or this build has no kernels. Throws ResourceError.
std::unique_ptr<PdlpMachine> PdlpOnGpu(const ScaledProgramme& programme, const PdlpControl& control,
                                       const std::vector<double>& z, const std::vector<double>& y,
                                       int device);

}  // namespace orchard::place
