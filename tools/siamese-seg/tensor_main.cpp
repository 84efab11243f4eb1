// libexec/orchard/siamese-seg-tensor: the half that is linked to LibTorch. Started by
// bin/siamese-seg with the same arguments.
#include "siamese-seg/tensor_commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = "siamese-seg",
                        .summary = "segments medical images by a network and a labelled example"});
  siamese_seg::AddTensorCommands(program, {.train = siamese_seg::RunTrain,
                                           .predict = siamese_seg::RunPredict,
                                           .qc = siamese_seg::RunQc,
                                           .templates = siamese_seg::RunTemplates,
                                           .bench = siamese_seg::RunBench,
                                           .export_model = siamese_seg::RunExport,
                                           .repro = siamese_seg::RunRepro});
  return program.Main(argc, argv);
}
