#include "execute/executor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "execute/executor_state.h"
#include "execute/host_link.h"
#include "io/printable.h"

namespace orchard::execute {
namespace {

using Lock = std::unique_lock<std::mutex>;

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// The error of an operator with its name and device.
[[noreturn]] void Rethrow(const std::string& name, const std::string& device) {
  const std::string where = io::Printable(name) + " on " + device;
  try {
    throw;
  } catch (const ResourceError& error) {
    throw ResourceError(error.what(), where);
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw ResourceError(
        "the device has no memory left: " + FirstLine(error.what_without_backtrace()), where);
  } catch (const c10::Error& error) {
    throw Error(ExitCode::kInternal,
                "the operator fails: " + FirstLine(error.what_without_backtrace()), where);
  } catch (const std::exception& error) {
    throw Error(ExitCode::kInternal, "the operator fails: " + FirstLine(error.what()), where);
  }
}

}  // namespace

// Here, where HostLink is complete.
Lane::Lane() = default;
Lane::~Lane() = default;

Executor::State::State(const Program& p, Layout layout, const std::vector<DeviceSpec>& devices,
                       const ExecutorOptions& o)
    : program(p),
      options(o),
      wiring(p, layout, o.train),
      host(layout.host),
      sending_until(devices.size()),
      receiving_until(devices.size()) {
  if (o.train && !p.no_training.empty())
    throw ImpossibleError("the model cannot be trained operator by operator: " + p.no_training,
                          p.name);
  const bool cuda =
      std::any_of(devices.begin(), devices.end(), [](const DeviceSpec& d) { return d.cuda(); });
  if (host && (o.train || cuda))
    throw UsageError("parameters on the host are for forward passes on CPU devices", p.name);
  for (size_t d = 0; d < devices.size(); ++d) {
    auto lane = std::make_unique<Lane>();
    lane->index = static_cast<int32_t>(d);
    lane->spec = devices[d];
    lane->account = std::make_shared<Account>(devices[d].name, devices[d].limit);
    lane->order = layout.order[d];
    if (lane->spec.cuda()) {
      if (o.throttle) throw UsageError("links of CUDA devices cannot be throttled", "--throttle");
      lane->stream = c10::impl::VirtualGuardImpl(c10::kCUDA)
                         .getStreamFromGlobalPool(lane->spec.device, /*isHighPriority=*/false);
    }
    const ChargeTo charge(lane->account);
    const auto place = [&](const at::Tensor& value) {
      if (lane->spec.cuda()) lane->account->Charge(static_cast<int64_t>(value.nbytes()));
      return lane->spec.cuda() ? value.to(lane->spec.device) : value.clone();
    };
    for (int32_t i : lane->order) {
      try {
        if (i < p.inputs()) lane->inputs[i] = place(p.example_inputs[i]);
        if (host && host->offloaded[i]) continue;
        for (int32_t k : p.operators[i].parameters) {
          if (lane->parameters.contains(k)) continue;
          at::Tensor value = place(p.parameters[k].value.detach());
          if (o.train && p.parameters[k].trainable) value.requires_grad_(true);
          lane->parameters[k] = std::move(value);
        }
      } catch (...) {
        Rethrow(p.operators[i].name, lane->spec.name);
      }
    }
    lanes.push_back(std::move(lane));
  }
  for (const auto& lane : lanes) {
    lane->courier = std::make_unique<Courier>(*this, lane->index);
    if (host && !host->fetches[lane->index].empty())
      lane->host = std::make_unique<HostLink>(*this, *lane, host->fetches[lane->index]);
  }
  for (const auto& lane : lanes)
    lane->thread = std::thread([this, &own = *lane] { LaneMain(own); });
}

Executor::State::~State() {
  {
    const Lock lock(mutex);
    stop = true;
  }
  changed.notify_all();
  for (const auto& lane : lanes) lane->thread.join();
  for (const auto& lane : lanes) {
    lane->host.reset();
    lane->courier.reset();
  }
}

void Executor::State::Fail(std::exception_ptr error) {
  {
    const Lock lock(mutex);
    if (!failure) failure = std::move(error);
    failed = true;
  }
  for (const auto& lane : lanes) {
    const Lock lock(lane->mutex);
    lane->changed.notify_all();
  }
}

void Executor::State::LaneMain(Lane& lane) {
  at::set_num_threads(1);
  const ChargeTo charge(lane.account);
  std::optional<c10::impl::VirtualGuardImpl> guard;
  if (lane.stream) {
    guard.emplace(c10::kCUDA);
    guard->setDevice(lane.spec.device);
    guard->exchangeStream(*lane.stream);
  }
  int64_t seen = 0;
  while (true) {
    {
      Lock lock(mutex);
      changed.wait(lock, [&] { return stop || step > seen; });
      if (stop) return;
      seen = step;
    }
    try {
      RunStep(lane);
    } catch (...) {
      Fail(std::current_exception());
    }
    {
      const Lock lock(mutex);
      --running;
    }
    changed.notify_all();
  }
}

void Executor::State::ResetLane(Lane& lane) {
  const Lock lock(lane.mutex);
  for (const Arrival& left : lane.values) {
    if (lane.stream && left.tensor.defined())
      lane.account->Credit(static_cast<int64_t>(left.tensor.nbytes()));
  }
  lane.values.assign(wiring.producer.size(), {});
  lane.missing = wiring.remote_inputs;
  if (lane.host) lane.host->Reset();
  lane.gradients.assign(wiring.value_of_slot.size(), {});
  lane.missing_gradients = wiring.awaited_gradients;
  lane.received.clear();
  lane.saved.clear();
  lane.parameter_gradients.clear();
  lane.gradient_sums.clear();
  lane.timed_forward.clear();
  lane.timed_backward.clear();
  lane.unread.resize(wiring.producer.size());
  for (size_t value = 0; value < wiring.producer.size(); ++value) {
    lane.unread[value] =
        static_cast<int32_t>(wiring.readers[value * wiring.devices + lane.index].size());
  }
  lane.account->ResetPeak();
}

void Executor::State::RunStep(Lane& lane) {
  for (int32_t op : lane.order) {
    try {
      Forward(lane, op);
    } catch (...) {
      Rethrow(program.operators[op].name, lane.spec.name);
    }
    if (failed) return;
    if (lane.host) lane.host->Ended(op);
  }
  if (options.train) {
    for (auto op = lane.order.rbegin(); op != lane.order.rend(); ++op) {
      try {
        Backward(lane, *op);
      } catch (...) {
        Rethrow(program.operators[*op].name, lane.spec.name);
      }
      if (failed) return;
    }
    Update(lane);
  }
  if (lane.stream) {
    c10::impl::VirtualGuardImpl(c10::kCUDA).synchronizeStream(*lane.stream);
    ReadClocks(lane);
  }
}

void Executor::State::Wait(Lane& lane, const std::vector<int32_t>& counter, int32_t op) {
  Lock lock(lane.mutex);
  lane.changed.wait(lock, [&] { return counter[op] == 0 || failed; });
}

std::shared_ptr<c10::Event> Executor::State::Mark(const Lane& lane, bool timing) const {
  auto event = std::make_shared<c10::Event>(
      c10::kCUDA, timing ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT);
  event->record(*lane.stream);
  return event;
}

// A tensor that may be read by this lane's thread, or by its stream, from now on.
at::Tensor Executor::State::Take(Lane& lane, const Arrival& arrival) const {
  if (arrival.ready) {
    if (lane.stream) {
      arrival.ready->block(*lane.stream);
    } else {
      arrival.ready->synchronize();
    }
  }
  // What was allocated for another stream must not be handed out again before this one is done.
  if (lane.stream) arrival.tensor.record_stream(*lane.stream);
  return arrival.tensor;
}

std::vector<at::Tensor> Executor::State::CallBody(Lane& lane, int32_t op,
                                                  std::vector<at::Tensor>& inputs) {
  const Operator& what = program.operators[op];
  const bool record = options.train && wiring.needs_gradient[op];
  const c10::AutoGradMode mode(record);
  for (size_t k = 0; record && k < inputs.size(); ++k) {
    inputs[k] = inputs[k].detach();
    if (wiring.gradient_slot[op][k] >= 0) inputs[k].requires_grad_(true);
  }
  std::vector<at::Tensor> parameters;
  if (lane.host && lane.host->Serves(op)) {
    parameters = lane.host->Parameters(op);
  } else {
    for (int32_t p : what.parameters) parameters.push_back(lane.parameters.at(p));
  }
  std::vector<at::Tensor> outputs = what.body->Run(inputs, parameters, lane.spec.device);
  if (!record) return outputs;
  lane.saved[op] = {inputs, outputs};
  for (at::Tensor& output : outputs) {
    if (output.defined()) output = output.detach();
  }
  return outputs;
}

void Executor::State::Forward(Lane& lane, int32_t op) {
  const Operator& what = program.operators[op];
  Wait(lane, lane.missing, op);
  if (failed) return;
  std::vector<at::Tensor> outputs;
  if (!what.body) {
    outputs = {lane.inputs.at(op)};
    result->forward[op].begin_us = Since(Clock::now());
  } else {
    std::vector<at::Tensor> inputs;
    for (const Value& input : what.inputs) {
      Arrival arrival;
      {
        const Lock lock(lane.mutex);
        arrival = lane.values[wiring.ValueIndex(input)];
      }
      inputs.push_back(Take(lane, arrival));
    }
    const auto begin = Clock::now();
    std::shared_ptr<c10::Event> mark;
    if (lane.stream) mark = Mark(lane, true);
    outputs = CallBody(lane, op, inputs);
    if (lane.stream) lane.timed_forward[op] = {mark, Mark(lane, true)};
    result->forward[op].begin_us = Since(begin);
  }
  Publish(lane, op, std::move(outputs));
  Release(lane, op);
  result->forward[op].end_us = Since(Clock::now());
}

// Keeps what is read here, and sends what is read elsewhere.
void Executor::State::Publish(Lane& lane, int32_t op, std::vector<at::Tensor> outputs) {
  std::map<int32_t, Parcel> parcels;
  std::shared_ptr<c10::Event> ready;
  const int32_t begin = wiring.value_begin[op];
  for (size_t k = 0; k < outputs.size(); ++k) {
    const int32_t value = begin + static_cast<int32_t>(k);
    for (int32_t dst : wiring.destinations[value]) {
      Parcel& parcel = parcels[dst];
      parcel.items.push_back(value);
      parcel.tensors.push_back(outputs[k]);
    }
    const bool kept = lane.unread[value] > 0 || wiring.is_output[value];
    if (!kept) continue;
    if (lane.stream && outputs[k].defined())
      lane.account->Charge(static_cast<int64_t>(outputs[k].nbytes()));
    const Lock lock(lane.mutex);
    lane.values[value].tensor = outputs[k];
  }
  for (auto& [dst, parcel] : parcels) {
    if (lane.stream && !ready) ready = Mark(lane);
    parcel.src = lane.index;
    parcel.dst = dst;
    parcel.ready = ready;
    parcel.sent = Clock::now();
    lane.courier->Send(std::move(parcel));
  }
}

// Drops inputs whose last reader here has run.
void Executor::State::Release(Lane& lane, int32_t op) {
  for (const Value& input : program.operators[op].inputs) {
    const int32_t value = wiring.ValueIndex(input);
    if (--lane.unread[value] > 0) continue;
    if (wiring.is_output[value] && wiring.Owner(value) == lane.index) continue;
    Arrival last;
    {
      const Lock lock(lane.mutex);
      std::swap(last, lane.values[value]);
    }
    if (lane.stream && last.tensor.defined())
      lane.account->Credit(static_cast<int64_t>(last.tensor.nbytes()));
  }
}

// One mark for all lanes of a GPU, so that their times can be compared.
void Executor::State::MarkBegin() {
  for (const auto& lane : lanes) {
    if (!lane->stream) continue;
    const auto same = std::find_if(lanes.begin(), lanes.end(), [&](const auto& other) {
      return other->stream && other->spec.device == lane->spec.device;
    });
    if (*same == lane) {
      lane->base = Mark(*lane, true);
      lane->base_us = Since(Clock::now());
    } else {
      lane->base = (*same)->base;
      lane->base_us = (*same)->base_us;
    }
  }
}

void Executor::State::ReadClocks(Lane& lane) {
  const auto read = [&](const std::map<int32_t, Lane::Timed>& timed, std::vector<Span>& spans) {
    for (const auto& [op, marks] : timed) {
      spans[op] = {lane.base_us + lane.base->elapsedTime(*marks.begin) * 1000,
                   lane.base_us + lane.base->elapsedTime(*marks.end) * 1000};
    }
  };
  read(lane.timed_forward, result->forward);
  read(lane.timed_backward, result->backward);
}

Executor::Executor(const Program& program, Layout layout, const std::vector<DeviceSpec>& devices,
                   const ExecutorOptions& options)
    : state_(std::make_unique<State>(program, std::move(layout), devices, options)) {}

Executor::~Executor() = default;

StepResult Executor::Step() {
  State& s = *state_;
  StepResult result;
  result.forward.resize(s.program.size());
  result.backward.resize(s.program.size());
  result.update.resize(s.lanes.size());
  for (const auto& lane : s.lanes) s.ResetLane(*lane);
  std::fill(s.sending_until.begin(), s.sending_until.end(), Clock::time_point());
  std::fill(s.receiving_until.begin(), s.receiving_until.end(), Clock::time_point());
  {
    Lock lock(s.mutex);
    s.result = &result;
    s.running = s.lanes.size();
    s.begin = Clock::now();
    s.MarkBegin();
    ++s.step;
    s.changed.notify_all();
    s.changed.wait(lock, [&] { return s.running == 0; });
    result.us = s.Since(Clock::now());
    if (s.failure) std::rethrow_exception(s.failure);
  }
  for (const auto& lane : s.lanes) {
    result.peak_bytes.push_back(lane->account->peak());
    result.transfers.insert(result.transfers.end(), lane->received.begin(), lane->received.end());
    if (!lane->host) continue;
    const std::vector<FetchSpan>& spans = lane->host->spans();
    result.fetches.insert(result.fetches.end(), spans.begin(), spans.end());
  }
  if (s.options.keep_results) {
    for (const Value& output : s.program.outputs) {
      const Lane& lane = *s.lanes[s.wiring.device[output.op]];
      result.outputs.push_back(
          lane.values[s.wiring.ValueIndex(output)].tensor.detach().to(c10::kCPU, false, true));
    }
    result.gradients.resize(s.program.parameters.size());
    for (const auto& lane : s.lanes) {
      for (const auto& [p, sum] : lane->gradient_sums)
        result.gradients[p] = sum.to(c10::kCPU, false, true);
    }
  }
  return result;
}

std::vector<at::Tensor> Executor::Parameters() const {
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : state_->program.parameters)
    values.push_back(parameter.value.detach().clone());
  for (const auto& lane : state_->lanes) {
    for (const auto& [p, value] : lane->parameters)
      values[p] = value.detach().to(c10::kCPU).clone();
  }
  return values;
}

}  // namespace orchard::execute
