#include "lemon-expand/tensor_commands.h"

#include <ATen/Parallel.h>

#include "lemon-expand/run_info.h"

namespace orchard::lemon_expand {

TensorRuns AllTensorRuns() {
  return {.verify = RunVerify,
          .train = RunTrain,
          .finetune = RunFinetune,
          .compare = RunCompare,
          .repro = RunRepro,
          .eval = RunEval};
}

void SetThreads(const cli::Context& context) { at::set_num_threads(context.common.Threads()); }

}  // namespace orchard::lemon_expand
