// The subcommands that run in the tensor half.
#pragma once

#include "siamese-seg/commands.h"

namespace orchard::siamese_seg {

int RunTrain(const segment::SegmentTrainOptions& options, const cli::Context& context);
int RunBench(const segment::BenchOptions& options, const cli::Context& context);
int RunExport(const segment::ExportModelOptions& options, const cli::Context& context);
int RunRepro(const segment::repro::ReproOptions& options, const cli::Context& context);
int RunQc(const segment::QcOptions& options, const cli::Context& context);
int RunTemplates(const segment::TemplatesOptions& options, const cli::Context& context);
int RunPredict(const segment::PredictOptions& options, const cli::Context& context);

}  // namespace orchard::siamese_seg
