#include "execute/run_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/signals.h"
#include "execute/statistics.h"
#include "execute/torchscript.h"

namespace orchard::execute {
namespace {

// Splitting changes neither kernels nor the order of sums on one device; the whole model's autograd
// adds gradients of shared tensors in another order.
constexpr double kUnsplitTolerance = 1e-5;

// Some gradients are zero but for rounding (a bias that a softmax ignores), so differences count
// relative to at least this part of the largest value of all tensors.
constexpr double kFloor = 1e-3;

double LargestOf(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0 || !tensor.is_floating_point()) return 0;
  return tensor.abs().max().item<double>();
}

// Largest difference over the largest value, which counts as at least `floor`.
double RelativeDifference(const at::Tensor& a, const at::Tensor& b, double floor) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return INFINITY;
  if (a.numel() == 0) return 0;
  if (!a.is_floating_point()) return at::equal(a, b) ? 0 : INFINITY;
  const double difference = LargestOf(a.to(at::kDouble) - b.to(at::kDouble));
  return difference == 0 ? 0 : difference / std::max({LargestOf(b), floor, 1e-300});
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

void CompareLists(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                  bool& same_bits, double& worst) {
  if (a.size() != b.size()) {
    same_bits = false;
    worst = INFINITY;
    return;
  }
  double floor = 0;
  for (const at::Tensor& tensor : b) floor = std::max(floor, kFloor * LargestOf(tensor));
  for (size_t k = 0; k < a.size(); ++k) {
    if (!a[k].defined() && !b[k].defined()) continue;
    if (!a[k].defined() || !b[k].defined()) {
      // No gradient, and one of zeros, say the same.
      const at::Tensor& there = a[k].defined() ? a[k] : b[k];
      if (there.abs().max().item<double>() != 0) worst = INFINITY;
      continue;
    }
    same_bits = same_bits && SameBits(a[k], b[k]);
    const double difference = RelativeDifference(a[k], b[k], floor);
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
}

// One step of each on the same state: on the placed devices, on one device, and of the whole model.
void Check(const RunInput& input, const Layout& layout, const std::vector<DeviceSpec>& devices,
           const ExecutorOptions& how, const RunOptions& options, RunResult& result) {
  ExecutorOptions keep = how;
  keep.keep_results = true;
  const StepResult placed = Executor(input.program, layout, devices, keep).Step();
  keep.throttle = nullptr;
  DeviceSpec alone = devices[0];
  alone.limit = INT64_MAX;
  const StepResult single =
      Executor(input.program, SingleLayout(input.program, 1), {alone}, keep).Step();
  result.check = Compare(placed.outputs, placed.gradients, single.outputs, single.gradients);
  const bool cuda =
      std::any_of(devices.begin(), devices.end(), [](const DeviceSpec& d) { return d.cuda(); });
  const double tolerance = options.tolerance.value_or(cuda ? 1e-5 : 0);
  result.passed = std::max(result.check->outputs, result.check->gradients) <= tolerance &&
                  (tolerance > 0 || result.check->same_bits);
  result.outputs = placed.outputs;
  result.gradients = placed.gradients;
  if (input.model.empty()) return;
  const Reference whole = RunTorchScript(input.model, input.program, how.train, devices[0].device);
  std::vector<at::Tensor> gradients;
  for (size_t p = 0; p < input.program.parameters.size() && how.train; ++p) {
    if (input.program.parameters[p].trainable) gradients.push_back(placed.gradients[p]);
  }
  result.unsplit = Compare(placed.outputs, gradients, whole.outputs, whole.gradients);
  result.passed = result.passed && std::max(result.unsplit->outputs, result.unsplit->gradients) <=
                                       std::max(tolerance, kUnsplitTolerance);
}

std::vector<double> Medians(const std::vector<std::vector<double>>& samples) {
  std::vector<double> medians;
  medians.reserve(samples.size());
  for (const auto& of_one : samples) medians.push_back(Median(of_one));
  return medians;
}

}  // namespace

Difference Compare(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& gradients,
                   const std::vector<at::Tensor>& other_outputs,
                   const std::vector<at::Tensor>& other_gradients) {
  Difference difference;
  CompareLists(outputs, other_outputs, difference.same_bits, difference.outputs);
  CompareLists(gradients, other_gradients, difference.same_bits, difference.gradients);
  return difference;
}

RunResult RunPlaced(const RunInput& input, const Layout& layout, const RunOptions& options,
                    const std::function<void(const std::string&)>& progress) {
  at::set_num_threads(1);
  const std::vector<DeviceSpec> devices = DevicesOf(input.cluster);
  ExecutorOptions how{.train = options.train == Training::kSgd,
                      .learning_rate = options.learning_rate};
  if (options.throttle) how.throttle = &input.cluster;
  RunResult result;
  result.layout = layout;
  result.prediction = Predict(input.graph, input.cluster, layout, how.train);
  if (options.check) Check(input, layout, devices, how, options, result);
  Executor placed(input.program, layout, devices, how);
  std::unique_ptr<Executor> single;
  if (options.compare_single) {
    DeviceSpec alone = devices[0];
    alone.limit = INT64_MAX;
    ExecutorOptions freely = how;
    freely.throttle = nullptr;
    single = std::make_unique<Executor>(input.program, SingleLayout(input.program, 1),
                                        std::vector<DeviceSpec>{alone}, freely);
  }
  const int32_t n = input.program.size();
  std::vector<std::vector<double>> forward(n), backward(n);
  std::vector<StepResult> steps;
  for (int64_t k = -options.warmup; k < options.steps && !StopRequested(); ++k) {
    StepResult step = placed.Step();
    const double alone = single ? single->Step().us : 0;
    if (progress) progress(fmt::format("{:.0f} us", step.us));
    if (k < 0) continue;
    result.step_us.push_back(step.us);
    if (single) result.single_us.push_back(alone);
    for (int32_t i = 0; i < n; ++i) {
      forward[i].push_back(step.forward[i].us());
      backward[i].push_back(step.backward[i].us());
    }
    result.peak_bytes.resize(devices.size(), 0);
    for (size_t d = 0; d < devices.size(); ++d)
      result.peak_bytes[d] = std::max(result.peak_bytes[d], step.peak_bytes[d]);
    steps.push_back(std::move(step));
  }
  result.measured_us = Median(result.step_us);
  result.single_device_us = Median(result.single_us);
  result.operator_us = Medians(forward);
  result.backward_us = Medians(backward);
  std::sort(steps.begin(), steps.end(),
            [](const StepResult& a, const StepResult& b) { return a.us < b.us; });
  if (!steps.empty()) result.median_step = std::move(steps[steps.size() / 2]);
  return result;
}

place::Graph WithMeasuredTimes(const place::Graph& graph, const RunResult& result) {
  place::Graph measured = graph;
  measured.cost_source = "measured in a placed run";
  for (int32_t i = 0; i < graph.size(); ++i) {
    place::Op& op = measured.ops[i];
    op.us = result.operator_us[i];
    if (op.bwd_us && result.backward_us[i] > 0) op.bwd_us = result.backward_us[i];
  }
  return measured;
}

}  // namespace orchard::execute
