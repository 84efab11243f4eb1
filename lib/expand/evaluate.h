// How well a model predicts data it was not trained on.
#pragma once

#include <c10/core/Device.h>

#include <cmath>
#include <cstdint>
#include <optional>

#include "comm/communicator.h"
#include "expand/batches.h"
#include "nn/network.h"

namespace orchard::expand {

// Sums over validation samples.
struct Evaluation {
  double summed_loss = 0;  // nats
  int64_t predictions = 0, top1 = 0, top5 = 0;
  bool images = false;

  double loss() const { return summed_loss / static_cast<double>(predictions); }
  double perplexity() const { return std::exp(loss()); }
  // Part of the images (or predicted tokens) whose label came first; among the first five.
  double top1_accuracy() const {
    return static_cast<double>(top1) / static_cast<double>(predictions);
  }
  double top5_accuracy() const {
    return static_cast<double>(top5) / static_cast<double>(predictions);
  }
  std::optional<double> accuracy() const {
    return images ? std::optional(top1_accuracy()) : std::nullopt;
  }
};

// A copy on `device`.
Example ToDevice(const Example& example, c10::Device device);

// Evaluates validation batches of `batch` samples, at most `max_batches` (0: all), without dropout.
// Rank r takes batches r, r + ranks, ...; every rank gets the sums of all.
Evaluation EvaluateBatches(const nn::Network& model, const Batches& batches, int64_t batch,
                           int64_t max_batches, comm::Communicator& ranks, c10::Device device);

}  // namespace orchard::expand
