#include "execute/host_link.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <sys/prctl.h>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::execute {
namespace {

using Lock = std::unique_lock<std::mutex>;

}  // namespace

HostLink::HostLink(Executor::State& state, Lane& lane, const std::vector<place::Fetch>& fetches)
    : state_(state), lane_(lane), fetches_(fetches) {
  for (size_t k = 0; k < fetches.size(); ++k) {
    for (int32_t reader : fetches[k].readers) fetch_of_[reader] = k;
  }
  thread_ = std::thread([this] {
    prctl(PR_SET_TIMERSLACK, 1);  // nanosecond: the throttle's waits end when they should
    Work();
  });
}

HostLink::~HostLink() { thread_.join(); }

void HostLink::Reset() {
  ended_.assign(state_.program.operators.size(), 0);
  visits_.assign(fetches_.size(), {});
  for (size_t k = 0; k < fetches_.size(); ++k) visits_[k].left = fetches_[k].readers.size();
  for (const auto& [reader, fetch] : fetch_of_) ++lane_.missing[reader];
  spans_.clear();
}

std::vector<at::Tensor> HostLink::Parameters(int32_t op) {
  const Lock lock(lane_.mutex);
  return visits_[fetch_of_.at(op)].parameters;
}

void HostLink::Ended(int32_t op) {
  {
    const Lock lock(lane_.mutex);
    const auto fetch = fetch_of_.find(op);
    if (fetch != fetch_of_.end() && --visits_[fetch->second].left == 0)
      visits_[fetch->second].parameters.clear();
    ended_[op] = 1;
  }
  lane_.changed.notify_all();
}

void HostLink::Work() {
  at::set_num_threads(1);
  const c10::AutoGradMode no_grad(false);
  int64_t seen = 0;
  while (true) {
    {
      Lock lock(state_.mutex);
      state_.changed.wait(lock, [&] { return state_.stop || state_.step > seen; });
      if (state_.stop) return;
      seen = state_.step;
    }
    try {
      RunStep();
    } catch (...) {
      state_.Fail(std::current_exception());
    }
  }
}

void HostLink::RunStep() {
  for (size_t k = 0; k < fetches_.size(); ++k) {
    const place::Fetch& fetch = fetches_[k];
    {
      Lock lock(lane_.mutex);
      lane_.changed.wait(
          lock, [&] { return fetch.after < 0 || ended_[fetch.after] != 0 || state_.failed; });
    }
    if (state_.failed) return;
    const auto begin = Clock::now();
    std::vector<at::Tensor> copies = Copy(fetch);
    int64_t bytes = 0;
    for (const at::Tensor& copy : copies) bytes += static_cast<int64_t>(copy.nbytes());
    if (const place::Cluster* links = state_.options.throttle) {
      std::this_thread::sleep_until(begin +
                                    std::chrono::nanoseconds(links->HostCost(bytes, lane_.index)));
    }
    {
      const Lock lock(lane_.mutex);
      visits_[k].parameters = std::move(copies);
      for (int32_t reader : fetch.readers) --lane_.missing[reader];
      spans_.push_back(
          {fetch.op, lane_.index, bytes, {state_.Since(begin), state_.Since(Clock::now())}});
    }
    lane_.changed.notify_all();
  }
}

std::vector<at::Tensor> HostLink::Copy(const place::Fetch& fetch) const {
  const ChargeTo charge(lane_.account);
  std::vector<at::Tensor> copies;
  const Operator& op = state_.program.operators[fetch.op];
  try {
    for (int32_t p : op.parameters)
      copies.push_back(state_.program.parameters[p].value.detach().clone());
  } catch (const ResourceError& error) {
    throw ResourceError(error.what(), "parameters of " + io::Printable(op.name) +
                                          " from the host to " + lane_.spec.name);
  }
  return copies;
}

}  // namespace orchard::execute
