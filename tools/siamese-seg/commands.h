// The subcommands of siamese-seg. To add one: a file with `void AddX(cli::Program&)`, its
// declaration here and its call in main.cpp. Those on tensors are declared here for both halves of
// the program, and run in the tensor half.
#pragma once

#include <functional>

#include "cli/program.h"
#include "segment/bench.h"
#include "segment/export_model_options.h"
#include "segment/predict_options.h"
#include "segment/qc_options.h"
#include "segment/repro/options.h"
#include "segment/templates_options.h"
#include "segment/train_options.h"

namespace orchard::siamese_seg {

void AddCompare(cli::Program& program);
void AddConvert(cli::Program& program);
void AddEvaluate(cli::Program& program);
void AddExportLabels(cli::Program& program);
void AddInspect(cli::Program& program);
void AddPhantom(cli::Program& program);
void AddPlan(cli::Program& program);
void AddRender(cli::Program& program);

// What runs the subcommands on tensors; empty in the half that has none.
struct TensorRuns {
  std::function<int(const segment::SegmentTrainOptions&, const cli::Context&)> train;
  std::function<int(const segment::PredictOptions&, const cli::Context&)> predict;
  std::function<int(const segment::QcOptions&, const cli::Context&)> qc;
  std::function<int(const segment::TemplatesOptions&, const cli::Context&)> templates;
  std::function<int(const segment::BenchOptions&, const cli::Context&)> bench;
  std::function<int(const segment::ExportModelOptions&, const cli::Context&)> export_model;
  std::function<int(const segment::repro::ReproOptions&, const cli::Context&)> repro;
};
void AddTensorCommands(cli::Program& program, const TensorRuns& runs);

}  // namespace orchard::siamese_seg
