// The steps of PDLP in device memory; all pointers of the arguments are device pointers. CPU twin:
// place/pdlp.h, which gives the same bits.
#pragma once

#include "cuda/base/launch.h"
#include "place/pdlp.h"

namespace orchard::cuda {

// Each enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or
// Error when the launch fails.
void PdlpIterate(const place::PdlpArgs& args, int attempts, cudaStream_t stream);
void PdlpMeasure(const place::PdlpArgs& args, place::PdlpPoint point, cudaStream_t stream);
void PdlpRestart(const place::PdlpArgs& args, place::PdlpPoint point, cudaStream_t stream);

}  // namespace orchard::cuda
