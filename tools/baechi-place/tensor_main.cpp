// libexec/orchard/baechi-place-tensor: the half that is linked to LibTorch. Started by
// bin/baechi-place, which has checked the command line, with the same arguments.
#include "baechi-place/import.h"
#include "baechi-place/read_model.h"
#include "baechi-place/tensor_commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = baechi_place::kName, .summary = baechi_place::kSummary});
  baechi_place::AddTensorCommands(program, {.gen_model = baechi_place::RunGenModel,
                                            .profile = baechi_place::RunProfile,
                                            .calibrate = baechi_place::RunCalibrate,
                                            .run = baechi_place::RunRun});
  baechi_place::AddImport(program, baechi_place::ImportTorchGraph);
  return program.Main(argc, argv);
}
