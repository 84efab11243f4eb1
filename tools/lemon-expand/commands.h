// The subcommands of lemon-expand. Both executables, bin/lemon-expand and
// libexec/orchard/lemon-expand-tensor, register all of them in the same order, so that flags are
// checked and explained in milliseconds; only the second can run those on tensors.
//
// To add a subcommand without tensors: a file with `void AddX(cli::Program&)`, its declaration
// below and its call in commands.cpp. To add one on tensors: its options and `int RunX(const
// XOptions&, const cli::Context&)`, a member of TensorRuns, its `Add` in commands.cpp and its value
// in tensor_main.cpp.
#pragma once

#include <functional>

#include "cli/program.h"

namespace orchard::lemon_expand {

inline constexpr char kName[] = "lemon-expand";
inline constexpr char kSummary[] =
    "grows a trained Transformer or CNN into a larger one that computes the same function";

// expand.cpp: expand, finalize
void AddExpand(cli::Program& program);
// plan.cpp
void AddPlan(cli::Program& program);
// inspect.cpp
void AddInspect(cli::Program& program);

// All subcommands that need no tensors.
void AddCoreCommands(cli::Program& program);

// What runs the subcommands on tensors: one function each, empty in bin/lemon-expand, which starts
// the tensor half instead.
struct TensorRuns {};

// All subcommands on tensors.
void AddTensorCommands(cli::Program& program, const TensorRuns& runs);

}  // namespace orchard::lemon_expand
