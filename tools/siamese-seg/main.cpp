// bin/siamese-seg: medical segmentation steered by a labelled template. Runs what needs no tensors,
// and starts the tensor half for the rest.
#include "siamese-seg/commands.h"

int main(int argc, char** argv) {
  orchard::cli::Program program(
      {.name = "siamese-seg",
       .summary = "segments medical images by a network and a labelled example"});
  orchard::siamese_seg::AddInspect(program);
  orchard::siamese_seg::AddConvert(program);
  orchard::siamese_seg::AddPlan(program);
  orchard::siamese_seg::AddTensorCommands(program, {});
  orchard::siamese_seg::AddEvaluate(program);
  orchard::siamese_seg::AddRender(program);
  orchard::siamese_seg::AddExportLabels(program);
  orchard::siamese_seg::AddCompare(program);
  orchard::siamese_seg::AddPhantom(program);
  return program.Main(argc, argv);
}
