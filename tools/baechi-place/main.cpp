// bin/baechi-place: places the operators of a model's graph on devices. Planning needs no tensors,
// so there is no second executable.
#include "baechi-place/commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program(
      {.name = "baechi-place",
       .summary = "places the operators of a model's graph on devices with limited memory"});
  baechi_place::AddPlace(program);
  baechi_place::AddSimulate(program);
  baechi_place::AddCompare(program);
  baechi_place::AddInspect(program);
  baechi_place::AddExport(program);
  baechi_place::AddGen(program);
  return program.Main(argc, argv);
}
