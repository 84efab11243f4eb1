// bin/siamese-seg: medical segmentation steered by a labelled template. Reading and writing images
// needs no tensors.
#include "siamese-seg/commands.h"

int main(int argc, char** argv) {
  orchard::cli::Program program(
      {.name = "siamese-seg",
       .summary = "reads, checks and converts medical images and label maps"});
  orchard::siamese_seg::AddInspect(program);
  orchard::siamese_seg::AddConvert(program);
  return program.Main(argc, argv);
}
