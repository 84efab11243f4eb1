// libexec/orchard/cser-train-tensor: the half that is linked to LibTorch. Started by bin/cser-train
// with the same arguments.
#include "cser-train/tensor_commands.h"

int main(int argc, char** argv) {
  using namespace orchard;
  cli::Program program({.name = cser_train::kName, .summary = cser_train::kSummary});
  cser_train::AddCommands(program, {.train = cser_train::RunTrain,
                                    .simulate = cser_train::RunSimulate,
                                    .eval = cser_train::RunEval,
                                    .export_model = cser_train::RunExport,
                                    .convert = cser_train::RunConvert,
                                    .verify = cser_train::RunVerify,
                                    .tune = cser_train::RunTune,
                                    .sweep = cser_train::RunSweep,
                                    .repro = cser_train::RunRepro});
  return program.Main(argc, argv);
}
