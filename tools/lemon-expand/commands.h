// The subcommands of lemon-expand. Both executables, bin/lemon-expand and
// libexec/orchard/lemon-expand-tensor, register all of them in the same order, so that flags are
// checked and explained in milliseconds; only the second can run those on tensors.
//
// To add a subcommand without tensors: a file with `void AddX(cli::Program&)`, its declaration
// below and its call in commands.cpp. To add one on tensors: its options in x.h, a member of
// TensorRuns and its `Add` in commands.cpp, `RunX` in x.cpp, and its line in tensor_commands.*.
#pragma once

#include <functional>

#include "cli/program.h"
#include "expand/lesa.h"
#include "expand/repro/options.h"
#include "lemon-expand/compare.h"
#include "lemon-expand/eval.h"
#include "lemon-expand/finetune.h"
#include "lemon-expand/train.h"
#include "lemon-expand/verify.h"

namespace orchard::lemon_expand {

inline constexpr char kName[] = "lemon-expand";
inline constexpr char kSummary[] =
    "grows a trained Transformer or CNN into a larger one that computes the same function";

void AddInspect(cli::Program& program);
void AddPlan(cli::Program& program);
// Makes the new layers of --method lesa, which takes LibTorch; empty in bin/lemon-expand, which
// starts the tensor half for them.
using PredictLayers = std::function<expand::LesaResult(
    const expand::SourceModel&, const expand::Plan&, const expand::LesaOptions&)>;

void AddExpand(cli::Program& program, const PredictLayers& predict);  // and finalize
void AddSchedule(cli::Program& program);
void AddBench(cli::Program& program);

// All subcommands that need no tensors, or (expand) for one method only.
void AddCoreCommands(cli::Program& program, const PredictLayers& predict);

template <class Options>
using Run = std::function<int(const Options&, const cli::Context&)>;

// What runs the subcommands on tensors: one function each, empty in bin/lemon-expand, which starts
// the tensor half instead.
struct TensorRuns {
  Run<VerifyCommandOptions> verify;
  Run<TrainCommandOptions> train;
  Run<FinetuneCommandOptions> finetune;
  Run<CompareCommandOptions> compare;
  Run<expand::repro::ReproOptions> repro;
  Run<EvalCommandOptions> eval;
};

// All subcommands on tensors.
void AddTensorCommands(cli::Program& program, const TensorRuns& runs);

}  // namespace orchard::lemon_expand
