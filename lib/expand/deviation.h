// How far two models are apart: what `verify` measures, whatever the networks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "expand/axis_map.h"
#include "expand/verify.h"
#include "io/safetensors.h"

namespace orchard::expand {

at::ScalarType ToScalarType(ComputeType compute);

// `batch` pictures [N, channels, height, width] for both models: those of options.images, else
// near-normal noise by `seed`. Throws DataError, UsageError for pictures of another size.
at::Tensor VerifyImages(const VerifyOptions& options, int64_t channels, int64_t height,
                        int64_t width, uint64_t seed);

// max |t|; 0 of nothing.
double Largest(const at::Tensor& t);

// Activations of the source against the target's, whose axis `axis` holds the copies that `map`
// says, and elsewhere `padding`: the mean over the axis, or zero.
enum class PaddingPromise { kZero, kMean };
Deviation CompareStream(const std::string& place, const at::Tensor& source,
                        const at::Tensor& target, const AxisMap& map, int64_t axis,
                        PaddingPromise padding);
Deviation CompareOutput(const std::string& place, const at::Tensor& source,
                        const at::Tensor& target);
// Sets the divergence and the agreement of logits [..., classes].
void CompareLogits(const at::Tensor& source, const at::Tensor& target, VerifyResult& result);

// Largest relative difference that rounding alone explains (docs/methods/lemon-expand.md,
// "Exactness classes and tolerances"), for a target of `layers` layers.
double AutomaticTolerance(const std::string& exactness, double epsilon, ComputeType compute,
                          int64_t layers, const io::Checkpoint& target);

// Fills in what follows from the places compared: whether all are within the tolerance, which is
// the first that is not, and the worst output.
void Conclude(VerifyResult& result);

}  // namespace orchard::expand
