// Parameters that live in the host's memory: a thread for each device copies them there in the
// order of the plan, each when the operator that it waits for has ended, and they are freed when
// their last reader has. CPU devices and forward passes. Internal to executor*.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "execute/executor_state.h"
#include "place/host_plan.h"

namespace orchard::execute {

class HostLink {
 public:
  // Both must outlive this.
  HostLink(Executor::State& state, Lane& lane, const std::vector<place::Fetch>& fetches);
  ~HostLink();  // after the state was told to stop

  // Before a step, under the lane's mutex: nothing is there, and readers wait.
  void Reset();
  // Whether the operator's parameters come from the host.
  bool Serves(int32_t op) const { return fetch_of_.contains(op); }
  // Those of an operator that nothing is missing for.
  std::vector<at::Tensor> Parameters(int32_t op);
  // An operator of the device has ended.
  void Ended(int32_t op);

  // Of the last step.
  const std::vector<FetchSpan>& spans() const { return spans_; }

 private:
  void Work();
  void RunStep();
  std::vector<at::Tensor> Copy(const place::Fetch& fetch) const;

  Executor::State& state_;
  Lane& lane_;
  const std::vector<place::Fetch>& fetches_;
  std::map<int32_t, size_t> fetch_of_;  // of each operator that needs one

  // Guarded by the lane's mutex.
  std::vector<uint8_t> ended_;  // of each operator
  struct Visit {
    std::vector<at::Tensor> parameters;
    size_t left = 0;  // readers that have not ended
  };
  std::vector<Visit> visits_;  // of each fetch
  std::vector<FetchSpan> spans_;

  std::thread thread_;
};

}  // namespace orchard::execute
