// bin/lemon-expand: runs what needs no tensors, and starts the tensor half for the rest.
#include "lemon-expand/commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = lemon_expand::kName, .summary = lemon_expand::kSummary});
  lemon_expand::AddCoreCommands(program, {});
  lemon_expand::AddTensorCommands(program, {});
  return program.Main(argc, argv);
}
