#include "lemon-expand/commands.h"

namespace orchard::lemon_expand {

void AddCoreCommands(cli::Program& program, const PredictLayers& predict) {
  AddInspect(program);
  AddPlan(program);
  AddExpand(program, predict);
  AddSchedule(program);
  AddBench(program);
}

void AddTensorCommands(cli::Program& program, const TensorRuns& runs) {
  program.Add<VerifyCommandOptions>(
      {.name = "verify",
       .summary = "checks that the grown model computes what its source computes",
       .example = "lemon-expand verify all-MiniLM-L6-v2 bigger --layerwise"},
      runs.verify);
  program.Add<TrainCommandOptions>(
      {.name = "train",
       .summary = "trains a model, expanded or new, on one or many ranks",
       .example = "lemon-expand train --config configs/lemon-expand/quick.toml --out quick"},
      runs.train);
  program.Add<FinetuneCommandOptions>(
      {.name = "finetune",
       .summary = "trains a model for texts to predict labels, and reports its best epoch",
       .example = "lemon-expand finetune all-MiniLM-L6-v2 train.tsv --valid dev.tsv --out cola"},
      runs.finetune);
  program.Add<CompareCommandOptions>(
      {.name = "compare",
       .summary = "grows one model by every method and shows what each keeps of it",
       .example = "lemon-expand compare all-MiniLM-L6-v2 --hidden 768 --ffn 3072 --layers 12"},
      runs.compare);
  program.Add<expand::repro::ReproOptions>(
      {.name = "repro",
       .summary = "runs the experiments behind the method's claims",
       .example = "lemon-expand repro R1 R4 --quick"},
      runs.repro);
  program.Add<EvalCommandOptions>({.name = "eval",
                                   .summary = "loss and accuracy of a model on a data set",
                                   .example = "lemon-expand eval quick/final grammar"},
                                  runs.eval);
}

}  // namespace orchard::lemon_expand
