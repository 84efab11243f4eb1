#include "lemon-expand/commands.h"

namespace orchard::lemon_expand {

void AddCoreCommands(cli::Program& program) {
  AddInspect(program);
  AddPlan(program);
  AddExpand(program);
}

void AddTensorCommands(cli::Program& program, const TensorRuns& runs) {
  program.Add<VerifyCommandOptions>(
      {.name = "verify",
       .summary = "checks that the grown model computes what its source computes",
       .example = "lemon-expand verify all-MiniLM-L6-v2 bigger --layerwise"},
      runs.verify);
  program.Add<TrainCommandOptions>(
      {.name = "train",
       .summary = "trains a model, expanded or new, on one or many ranks",
       .example = "lemon-expand train --config configs/lemon-expand/quick.toml --out quick"},
      runs.train);
}

}  // namespace orchard::lemon_expand
