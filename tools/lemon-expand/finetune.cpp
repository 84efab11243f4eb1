// lemon-expand finetune: trains a head for labels, and all below it, on texts.
#include "lemon-expand/finetune.h"

#include "lemon-expand/tensor_commands.h"

namespace orchard::lemon_expand {

int RunFinetune(const FinetuneCommandOptions& options, const cli::Context& context) {
  return TrainInRunDirectory(options.Training(), context);
}

}  // namespace orchard::lemon_expand
