#include "lemon-expand/commands.h"

namespace orchard::lemon_expand {

void AddCoreCommands(cli::Program& program) {
  AddInspect(program);
  AddPlan(program);
  AddExpand(program);
}

void AddTensorCommands(cli::Program&, const TensorRuns&) {}

}  // namespace orchard::lemon_expand
