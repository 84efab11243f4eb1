// PDLP on a CUDA device against its CPU twin: the same bits.
#include "gpu/device_array.h"
#include "place/generate.h"
#include "place/groups.h"
#include "place/pdlp_solver.h"
#include "place/sct_pdlp.h"
#include "unit/place/wide_programme.h"

namespace orchard::place {
namespace {

class PdlpOnDevice : public gpu::DeviceTest {};

std::unique_ptr<PdlpMachine> Machine(const ScaledProgramme& scaled, bool gpu) {
  const LinearProgramme& lp = scaled.programme;
  std::vector<double> z(lp.columns()), y(lp.rows.size());
  for (size_t j = 0; j < z.size(); ++j) z[j] = 0.25 + 0.01 * static_cast<double>(j % 13);
  for (size_t r = 0; r < y.size(); ++r) y[r] = 0.1 * static_cast<double>(r % 5);
  const PdlpControl control{.eta = 1 / scaled.largest, .omega = 0.5};
  return gpu ? PdlpOnGpu(scaled, control, z, y, 0) : PdlpOnCpu(scaled, control, z, y, 2);
}

void ExpectEqual(const PdlpFacts& a, const PdlpFacts& b) {
  EXPECT_EQ(a.primal_residual2, b.primal_residual2);
  EXPECT_EQ(a.dual_residual2, b.dual_residual2);
  EXPECT_EQ(a.primal_objective, b.primal_objective);
  EXPECT_EQ(a.dual_rows, b.dual_rows);
  EXPECT_EQ(a.dual_bounds, b.dual_bounds);
}

TEST_F(PdlpOnDevice, StepsMeasuresAndRestartsAsTheTwin) {
  const ScaledProgramme scaled = Scale(WideProgramme());
  const auto cpu = Machine(scaled, false), gpu = Machine(scaled, true);
  ASSERT_NE(gpu, nullptr);
  for (PdlpPoint point : {PdlpPoint::kCurrent, PdlpPoint::kAverage, PdlpPoint::kCurrent}) {
    for (PdlpMachine* machine : {cpu.get(), gpu.get()}) {
      machine->Measure(PdlpPoint::kCurrent);
      machine->Restart(PdlpPoint::kCurrent);
      machine->Iterate(77);  // recorded graphs, and single attempts
    }
    EXPECT_EQ(cpu->control().eta, gpu->control().eta);
    EXPECT_EQ(cpu->control().accepted, gpu->control().accepted);
    EXPECT_EQ(cpu->control().weight, gpu->control().weight);
    ExpectEqual(cpu->Measure(point), gpu->Measure(point));
    std::vector<double> z[2], y[2];
    cpu->Read(point, z[0], y[0]);
    gpu->Read(point, z[1], y[1]);
    EXPECT_EQ(z[0], z[1]);
    EXPECT_EQ(y[0], y[1]);
    const PdlpFacts moved = cpu->Restart(point), moved_gpu = gpu->Restart(point);
    EXPECT_GT(moved.moved_z2, 0);
    EXPECT_EQ(moved.moved_z2, moved_gpu.moved_z2);
    EXPECT_EQ(moved.moved_y2, moved_gpu.moved_y2);
    cpu->SetOmega(0.75);
    gpu->SetOmega(0.75);
  }
}

TEST_F(PdlpOnDevice, SolvesAsTheCpu) {
  const PdlpOptions limits{.max_attempts = 640};
  PdlpOptions on_gpu = limits;
  on_gpu.gpu = 0;
  const PdlpResult cpu = SolvePdlp(WideProgramme(), limits);
  const PdlpResult gpu = SolvePdlp(WideProgramme(), on_gpu);
  EXPECT_EQ(cpu.z, gpu.z);
  EXPECT_EQ(cpu.y, gpu.y);
  EXPECT_EQ(cpu.restarts, gpu.restarts);
  EXPECT_EQ(cpu.gap, gpu.gap);
}

TEST_F(PdlpOnDevice, FindsTheFavouritesOfTheCpu) {
  const Graph graph = Generate({.ops = 600, .width = 20}, 5);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const Cluster cluster(4, INT64_MAX, {}, Comm::kParallel);
  const SctPdlp cpu = SolveSctPdlp(tasks, cluster, {});
  const SctPdlp gpu = SolveSctPdlp(tasks, cluster, {.gpu = 0});
  ASSERT_TRUE(gpu.lp.optimal);
  EXPECT_EQ(cpu.lp.x, gpu.lp.x);
  EXPECT_EQ(cpu.bound_us, gpu.bound_us);
}

}  // namespace
}  // namespace orchard::place
