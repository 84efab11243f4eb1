// Executes a placed model, checks what comes out, and holds the measured step against the predicted
// one.
#pragma once

#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "execute/device_spec.h"
#include "execute/executor.h"
#include "execute/options.h"
#include "execute/prediction.h"
#include "execute/program.h"
#include "place/cluster.h"
#include "place/graph.h"
#include "place/options.h"

namespace orchard::execute {

// How far two runs of one step are apart.
struct Difference {
  bool same_bits = true;
  // Largest difference over the largest value of the tensor, or a thousandth of that of all tensors
  // where that is more; of the worst output.
  double outputs = 0;
  double gradients = 0;  // the same of parameter gradients
};
Difference Compare(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& gradients,
                   const std::vector<at::Tensor>& other_outputs,
                   const std::vector<at::Tensor>& other_gradients);

struct RunResult {
  Layout layout;
  Prediction prediction;
  std::vector<double> step_us, single_us;  // of every measured step
  double measured_us = 0;                  // median
  double single_device_us = 0;             // median; 0: not measured
  std::optional<Difference> check;         // against the executor on one device
  std::optional<Difference> unsplit;       // against the model as one, where it is TorchScript
  bool passed = true;
  std::vector<at::Tensor> outputs, gradients;  // of the checked step, gradients by parameter
  std::vector<int64_t> peak_bytes;
  StepResult median_step;
  std::vector<double> operator_us, backward_us;  // medians of every operator, where it ran

  // Of the prediction, relative to what was measured.
  double error() const { return std::abs(prediction.us() - measured_us) / measured_us; }
  double speedup() const { return single_device_us > 0 ? single_device_us / measured_us : 0; }
};

struct RunInput {
  const Program& program;
  const place::Graph& graph;
  const place::Cluster& cluster;
  std::filesystem::path model;  // for the check against the unsplit model; may be empty
};

// Throws as Executor; InterruptedError is left to the caller, who sees fewer steps.
RunResult RunPlaced(const RunInput& input, const Layout& layout, const RunOptions& options,
                    const std::function<void(const std::string&)>& progress = {});

// The graph with the times that a run measured.
place::Graph WithMeasuredTimes(const place::Graph& graph, const RunResult& result);

}  // namespace orchard::execute
