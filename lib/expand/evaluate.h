// How well a model predicts data it was not trained on.
#pragma once

#include <c10/core/Device.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "expand/batches.h"
#include "nn/network.h"

namespace orchard::expand {

// Sums over validation samples.
struct Evaluation {
  double summed_loss = 0;  // nats
  int64_t predictions = 0, top1 = 0, top5 = 0;
  bool per_sample = false;  // images or labelled texts
  // Labelled texts, in the order of the data: the class predicted, or the score.
  std::vector<double> predicted, truth;
  bool regression = false;
  int64_t classes = 0;

  double loss() const { return summed_loss / static_cast<double>(predictions); }
  double perplexity() const { return std::exp(loss()); }
  // Part of the samples (or predicted tokens) whose label came first; among the first five.
  double top1_accuracy() const {
    return static_cast<double>(top1) / static_cast<double>(predictions);
  }
  double top5_accuracy() const {
    return static_cast<double>(top5) / static_cast<double>(predictions);
  }
  std::optional<double> accuracy() const {
    return per_sample && !regression ? std::optional(top1_accuracy()) : std::nullopt;
  }
};

// A copy on `device`.
Example ToDevice(const Example& example, c10::Device device);

// Evaluates every validation sample once, without dropout, in batches of `batch` samples of which
// the last may be smaller; with `max_batches` > 0 only the first ones. Rank r takes batches r,
// r + ranks, ...; every rank gets the sums of all. Those of all samples do not depend on the number
// of ranks, and on `batch` only by rounding.
Evaluation EvaluateBatches(const nn::Network& model, const Batches& batches, int64_t batch,
                           int64_t max_batches, comm::Communicator& ranks, c10::Device device);

}  // namespace orchard::expand
