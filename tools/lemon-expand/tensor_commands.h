// What runs the subcommands on tensors. Only the tensor half has these functions.
#pragma once

#include "cli/program.h"
#include "lemon-expand/commands.h"

namespace orchard::expand {
struct VerifyResult;
}
namespace orchard::run {
class Report;
}

namespace orchard::lemon_expand {

// All of them, for AddTensorCommands.
TensorRuns AllTensorRuns();

// Threads of LibTorch.
void SetThreads(const cli::Context& context);

// eval.cpp
int RunEval(const EvalCommandOptions& options, const cli::Context& context);

// finetune.cpp
int RunFinetune(const FinetuneCommandOptions& options, const cli::Context& context);

// train.cpp
int RunTrain(const TrainCommandOptions& options, const cli::Context& context);
// Trains with all ranks into --out, writes the report page and prints the result.
int TrainInRunDirectory(const expand::TrainOptions& options, const cli::Context& context);

// compare.cpp
int RunCompare(const CompareCommandOptions& options, const cli::Context& context);

// repro.cpp
int RunRepro(const expand::repro::ReproOptions& options, const cli::Context& context);

// verify.cpp
int RunVerify(const VerifyCommandOptions& options, const cli::Context& context);
// The tables and chart of a verification, for every page that shows one.
void AddVerification(run::Report& report, const expand::VerifyResult& result);

}  // namespace orchard::lemon_expand
