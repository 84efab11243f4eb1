// bin/cser-train: runs what needs no tensors, and starts the tensor half for the rest.
#include "cser-train/commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = cser_train::kName, .summary = cser_train::kSummary});
  cser_train::AddCommands(program, {});
  return program.Main(argc, argv);
}
