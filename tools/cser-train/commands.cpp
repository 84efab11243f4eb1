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
  program.Add<comm::LaunchOptions>(
      {.name = "launch",
       .summary = "starts the ranks of a job on this machine by mpirun",
       .example = "cser-train launch -n 4 --netns 100mbit -- train --ratio 64 --out runs/cser",
       .details =
           "With --netns every rank has a network namespace of its own on a link of this rate, and "
           "the bytes of each link are shown at the end; the machine's own network is left alone. "
           "Without --threads ranks share the CPUs evenly. SIGTERM and the first Ctrl-C make ranks "
           "write a checkpoint and stop with 75, a second one ends them."},
      RunLaunch);
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
  program.Add<sync::repro::ReproOptions>(
      {.name = "repro",
       .summary = "runs the experiments behind the paper's claims, with a verdict for each",
       .example = "cser-train repro C1 --quick --out runs/repro",
       .details =
           "Needs Fashion-MNIST (scripts/setup --data). All experiments with three seeds are "
           "some 300 trainings of 5 s of one core; --shard divides them over jobs. "
           "Finished trainings are kept: a stopped run goes on with --resume."},
      runs.repro);
  program.Add<sync::EvalOptions>({.name = "eval",
                                  .summary = "loss and accuracy of a trained model on test images",
                                  .example = "cser-train eval runs/cser/final"},
                                 runs.eval);
  program.Add<ExportOptions>({.name = "export",
                              .summary = "writes the averaged model for other programs",
                              .example = "cser-train export runs/cser model.pth"},
                             runs.export_model);
  program.Add<ConvertOptions>(
      {.name = "convert",
       .summary = "turns labelled images of any format into one HDF5 file",
       .example = "cser-train convert --format cifar100 cifar-100-binary train.h5",
       .details = "--kind images --path train.h5 --test test.h5 then trains on it."},
      runs.convert);
  program.Add<sync::VerifyOptions>(
      {.name = "verify",
       .summary = "checks what must hold of an algorithm, on this model and this data",
       .example = "cser-train verify --ranks 4 --ratio 64 --steps 100",
       .details = "Exit code 4 when a check fails. The learning rate is schedule.lr throughout."},
      runs.verify);
  program.Add<sync::TuneOptions>(
      {.name = "tune",
       .summary =
           "times link and steps, and says whether compression pays and which settings to use",
       .example = "cser-train tune --config configs/cser-train/quick.toml",
       .details = "Times steps without messages, with a dense exchange and as configured; nothing "
                  "is trained. Behind\n"
                  "mpirun -n 4 it measures the link between four processes."},
      runs.tune);
  program.Add<sync::MeasureOptions>(
      {.name = "bench",
       .summary = "measures collectives, an algorithm's exchange, or its kernels, without a model",
       .example = "cser-train bench psync --ranks 2 --sizes 1048576",
       .details = "Over links of a chosen rate: cser-train launch -n 4 --netns 100mbit -- bench "
                  "allreduce. Look there first: a link that does not reach its rate makes every "
                  "dense method look too slow."},
      RunBench);
  program.Add<sync::PredictOptions>(
      {.name = "model",
       .summary = "predicts bytes and seconds of a step, and where compression stops to pay",
       .example = "cser-train model --params 35.8M --world 8 --bandwidth 1e9 --compute-ms 40"},
      RunPredict);
}

}  // namespace orchard::cser_train
