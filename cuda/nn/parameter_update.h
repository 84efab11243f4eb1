// AdamW and SGD over many tensors on the GPU. In the arguments the list of tensors lies in host
// memory, the buffers they point to and `gradient_scale` in device memory. CPU twin:
// nn/parameter_update.h; AdamW and SGD give the same bits.
#pragma once

#include "cuda/base/launch.h"
#include "nn/parameter_update.h"

namespace orchard::cuda {

// Enqueue and return. Throw UsageError, naming the tensor, for arguments that do not fit;
// ResourceError or Error when a launch fails.
void AdamW(const nn::AdamWArgs& args, cudaStream_t stream);
void Sgd(const nn::SgdArgs& args, cudaStream_t stream);

// Bytes of device memory that SumOfSquares needs.
int64_t SumOfSquaresWorkspace(const nn::TensorUpdate* tensors, int64_t tensor_count);

// *sum (device) = the sum over all tensors of gradient^2, added in a fixed order: no atomics.
void SumOfSquares(const nn::TensorUpdate* tensors, int64_t tensor_count, void* workspace,
                  double* sum, cudaStream_t stream);

}  // namespace orchard::cuda
