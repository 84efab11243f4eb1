#include "baechi-place/tensor_commands.h"

namespace orchard::baechi_place {

void AddTensorCommands(cli::Program& program, const TensorRuns& runs) {
  program.Add<ProfileCommandOptions>(
      {.name = "profile",
       .summary = "reads a TorchScript model, measures every operator, and writes its graph",
       .example = "baechi-place profile two_tower.pt -o two_tower.json --device cpu",
       .details =
           "The model is run on made-up inputs of the given shapes, and the graph holds for those "
           "shapes. Operators that would give wrong results when placed (random numbers, results "
           "that depend on the values of tensors) are refused by name.\n"
           "\nThe example's model is made by\n"
           "  baechi-place gen-model two_tower.pt"},
      runs.profile);
  program.Add<CalibrateCommandOptions>(
      {.name = "calibrate",
       .summary = "measures devices and the links between them, and writes a devices file",
       .example = "baechi-place calibrate --devices cpu:0,cpu:1 -o devices.json"},
      runs.calibrate);
  program.Add<RunCommandOptions>(
      {.name = "run",
       .summary = "runs a placed model, checks its results, and compares its time with the plan",
       .example = "baechi-place run two_tower.pt placement.json --graph two_tower.json --devices "
                  "devices.json",
       .details =
           "Devices are called as in the devices file: cpu:0, cpu:1 are threads of this machine "
           "with memory of their own, cuda:0 is a GPU, cuda:0/0 and cuda:0/1 are parts of one. "
           "With --devices N there are N CPU devices. A device whose memory does not suffice ends "
           "the run with exit code 7.\n"
           "\nThe example's files are made by\n"
           "  baechi-place gen-model two_tower.pt\n"
           "  baechi-place profile two_tower.pt -o two_tower.json\n"
           "  baechi-place calibrate --devices cpu:0,cpu:1 -o devices.json\n"
           "  baechi-place place two_tower.json --devices devices.json -o placement.json"},
      runs.run);
  program.Add<GenModelCommandOptions>(
      {.name = "gen-model",
       .summary = "writes a TorchScript model with random weights to try profile and run on",
       .example = "baechi-place gen-model two_tower.pt --model two-tower"},
      runs.gen_model);
}

}  // namespace orchard::baechi_place
