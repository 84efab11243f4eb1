// bin/baechi-place: places the operators of a model's graph on devices. Planning needs no tensors;
// what does is continued in libexec/orchard/baechi-place-tensor.
#include "baechi-place/commands.h"
#include "baechi-place/import.h"
#include "baechi-place/tensor_commands.h"

int main(int argc, char** argv) {
  orchard::cli::Program program(
      {.name = orchard::baechi_place::kName, .summary = orchard::baechi_place::kSummary});
  orchard::baechi_place::AddPlace(program);
  orchard::baechi_place::AddSimulate(program);
  orchard::baechi_place::AddOptimal(program);
  orchard::baechi_place::AddLimits(program);
  orchard::baechi_place::AddCompare(program);
  orchard::baechi_place::AddInspect(program);
  orchard::baechi_place::AddExport(program);
  orchard::baechi_place::AddImport(program);
  orchard::baechi_place::AddGen(program);
  orchard::baechi_place::AddBench(program);
  orchard::baechi_place::AddTensorCommands(program, {});
  return program.Main(argc, argv);
}
