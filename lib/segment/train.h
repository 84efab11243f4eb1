// Training a network on pairs of image and labelled example, with exact resume.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "run/run_dir.h"
#include "segment/dataset.h"
#include "segment/prepared_case.h"
#include "segment/template_bank.h"
#include "segment/train_options.h"
#include "segment/train_result.h"

namespace orchard::segment {

class TemplateNetwork;

struct TrainSetting {
  uint64_t seed = 0;
  int threads = 1;
  bool progress = true;
  c10::Device device{c10::kCPU};
};

// Which cases train and which validate. Throws DataError where none is left to train,
// ImpossibleError where those left are of one subject and templates of others are wanted.
Split ChooseSplit(const SegmentTrainOptions& options, const Dataset& dataset, uint64_t seed);

// Every rank calls this with the same options and `split`; each draws its own part of a step's
// samples, and gradients are averaged (in rank order, but with NCCL). `run` on rank 0 only:
// metrics.jsonl, checkpoints, `best` and `final` (see docs/formats.md). A run that was interrupted
// continues to the same bits on as many ranks. Throws InterruptedError after a stop, DivergedError
// when a loss is not finite, and what data and network throw.
SegmentTrainResult TrainSegmentation(const SegmentTrainOptions& options,
                                     const TrainSetting& setting, const Dataset& dataset,
                                     const Split& split, const Plan& plan,
                                     comm::Communicator& ranks, run::RunDir* run);

// The same on cases in memory and in this process alone, without files. `use` gets the trained
// network and its templates. options.data has no say.
SegmentTrainResult TrainOnCases(
    const SegmentTrainOptions& options, const TrainSetting& setting,
    std::vector<PreparedCase> training, const Plan& plan,
    const std::function<void(const TemplateNetwork&, const TemplateBank&)>& use);

}  // namespace orchard::segment
