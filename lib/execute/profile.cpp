#include "execute/profile.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "execute/account.h"
#include "execute/executor.h"
#include "execute/statistics.h"

namespace orchard::execute {
namespace {

// Runs the program once, one operator after the other, and sees what each allocates at most.
std::vector<int64_t> MeasureScratch(const Program& program, const DeviceSpec& device) {
  const c10::AutoGradMode no_grad(false);
  const auto account = std::make_shared<Account>(device.name, INT64_MAX);
  std::vector<at::Tensor> parameters;
  for (const Parameter& p : program.parameters)
    parameters.push_back(p.value.detach().to(device.device));
  std::vector<std::vector<at::Tensor>> values(program.size());
  std::vector<int64_t> scratch(program.size(), 0);
  const auto used = [&](bool peak) {
    if (!device.cuda()) return peak ? account->peak() : account->used();
    using c10::CachingAllocator::StatType;
    const auto stats = c10::getDeviceAllocator(c10::kCUDA)->getDeviceStats(device.device.index());
    const auto& bytes = stats.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)];
    return peak ? bytes.peak : bytes.current;
  };
  for (int32_t i = 0; i < program.size(); ++i) {
    const Operator& op = program.operators[i];
    const ChargeTo charge(account);
    if (!op.body) {
      values[i] = {program.example_inputs[i].to(device.device)};
      continue;
    }
    std::vector<at::Tensor> inputs, own;
    for (const Value& input : op.inputs) inputs.push_back(values[input.op][input.port]);
    for (int32_t p : op.parameters) own.push_back(parameters[p]);
    const int64_t before = used(false);
    account->ResetPeak();
    if (device.cuda()) c10::getDeviceAllocator(c10::kCUDA)->resetPeakStats(device.device.index());
    values[i] = op.body->Run(inputs, own, device.device);
    int64_t out = 0;
    for (int64_t bytes : op.output_bytes) out += bytes;
    scratch[i] = std::max<int64_t>(0, used(true) - before - out);
  }
  return scratch;
}

struct Times {
  std::vector<std::vector<double>> forward, backward;  // [operator][round]
  std::vector<double> update;
};

Times Measure(const Program& program, const DeviceSpec& device, const ProfileOptions& options,
              bool train, const std::function<void()>& progress) {
  Executor executor(program, SingleLayout(program, 1), {device}, {.train = train});
  Times times{std::vector<std::vector<double>>(program.size()),
              std::vector<std::vector<double>>(program.size()),
              {}};
  for (int64_t round = -options.warmup; round < options.rounds; ++round) {
    const StepResult step = executor.Step();
    if (progress) progress();
    if (round < 0) continue;
    times.update.push_back(step.update[0].us());
    for (int32_t i = 0; i < program.size(); ++i) {
      times.forward[i].push_back(step.forward[i].us());
      times.backward[i].push_back(step.backward[i].us());
    }
  }
  return times;
}

int64_t TrainedBytes(const Program& program, const Operator& op) {
  int64_t bytes = 0;
  for (int32_t p : op.parameters) {
    if (program.parameters[p].trainable)
      bytes += static_cast<int64_t>(program.parameters[p].value.nbytes());
  }
  return bytes;
}

}  // namespace

Costs Profile(const Program& program, const DeviceSpec& device, const ProfileOptions& options,
              const std::function<void()>& progress) {
  Costs costs{.source = "profiled on " + device.name};
  costs.temp = MeasureScratch(program, device);
  const Times forward = Measure(program, device, options, false, progress);
  for (const auto& times : forward.forward) costs.us.push_back(Median(times));
  if (!options.backward || !program.no_training.empty()) return costs;
  const Times training = Measure(program, device, options, true, progress);
  double trained = 0;
  for (const Operator& op : program.operators)
    trained += static_cast<double>(TrainedBytes(program, op));
  const double update = Median(training.update);
  for (int32_t i = 0; i < program.size(); ++i) {
    const double backward = Median(training.backward[i]);
    const double own = static_cast<double>(TrainedBytes(program, program.operators[i]));
    costs.has_backward.push_back(backward > 0);
    costs.backward_us.push_back(backward);
    costs.update_us.push_back(trained > 0 ? update * own / trained : 0);
  }
  return costs;
}

}  // namespace orchard::execute
