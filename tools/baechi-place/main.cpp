// bin/baechi-place: places the operators of a model's graph on devices. Planning needs no tensors,
// so there is no second executable.
#include "baechi-place/commands.h"

int main(int argc, char** argv) {
  orchard::cli::Program program(
      {.name = "baechi-place",
       .summary = "places the operators of a model's graph on devices with limited memory"});
  orchard::baechi_place::AddPlace(program);
  orchard::baechi_place::AddSimulate(program);
  orchard::baechi_place::AddCompare(program);
  orchard::baechi_place::AddInspect(program);
  orchard::baechi_place::AddExport(program);
  orchard::baechi_place::AddImport(program);
  orchard::baechi_place::AddGen(program);
  return program.Main(argc, argv);
}
