#include "cser-train/commands.h"

namespace orchard::cser_train {

void AddCommands(cli::Program& program, const TensorRuns& runs) {
  program.Add<sync::SyncTrainOptions>(
      {.name = "train",
       .summary = "trains a network with the ranks that mpirun or srun started",
       .example = "cser-train train --ratio 64 --out runs/cser",
       .details = "As many ranks as mpirun -n 4 or srun starts. With --ratio alone gradients and "
                  "errors get half of the traffic each. Accuracy is that "
                  "of the averaged model."},
      runs.train);
  program.Add<SimulateOptions>(
      {.name = "simulate",
       .summary = "the same with ranks in one process, bit for bit",
       .example = "cser-train simulate --ranks 4 --ratio 64 --out runs/simulated"},
      runs.simulate);
  program.Add<sync::SweepOptions>(
      {.name = "sweep",
       .summary = "many runs with simulated ranks, and one page that compares them",
       .example = "cser-train sweep --algos sgd,cser,qsparse --ratios 16,64 --seeds 3 --out sweep",
       .details = "Runs that are done already are kept, so that a stopped sweep goes on with "
                  "--resume. A run that diverges is counted, not an error."},
      runs.sweep);
  program.Add<sync::EvalOptions>({.name = "eval",
                                  .summary = "loss and accuracy of a trained model on test images",
                                  .example = "cser-train eval runs/cser/final"},
                                 runs.eval);
  program.Add<sync::VerifyOptions>(
      {.name = "verify",
       .summary = "checks what must hold of an algorithm, on this model and this data",
       .example = "cser-train verify --ranks 4 --ratio 64 --steps 100",
       .details = "Exit code 4 when a check fails. The learning rate is schedule.lr throughout."},
      runs.verify);
  program.Add<sync::PredictOptions>(
      {.name = "model",
       .summary = "predicts bytes and seconds of a step, and where compression stops to pay",
       .example = "cser-train model --params 35.8M --world 8 --bandwidth 1e9 --compute-ms 40"},
      RunPredict);
}

}  // namespace orchard::cser_train
