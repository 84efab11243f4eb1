// libexec/orchard/lemon-expand-tensor: the half that is linked to LibTorch. Started by
// bin/lemon-expand with the same arguments.
#include "lemon-expand/tensor_commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = lemon_expand::kName, .summary = lemon_expand::kSummary});
  lemon_expand::AddCoreCommands(program, expand::PredictLayers);
  lemon_expand::AddTensorCommands(program, lemon_expand::AllTensorRuns());
  return program.Main(argc, argv);
}
