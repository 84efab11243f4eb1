// Batches of training samples, drawn in a thread while the step before computes.
//
// A batch depends on the seed and its number alone, so that running ahead changes no bit.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <future>
#include <vector>

#include "base/thread_pool.h"
#include "segment/episodes.h"
#include "segment/sampler.h"

namespace orchard::segment {

// image [B, M, K, J, I] f32, labels [B, K, J, I] u8; the template's are undefined without one.
struct SampleBatch {
  at::Tensor image, labels, template_image, template_labels;
  std::vector<int64_t> classes;  // that are asked for: of the plan, or of the episode 1, 2, ...
};

struct BatchSetting {
  int rank = 0, ranks = 1;      // each rank draws its own part of a step's samples
  int64_t first = 0, last = 0;  // steps [first, last)
  int threads = 1;
  bool with_templates = true;
  const EpisodeSampler* episodes = nullptr;  // in context: draws in place of the sampler
  c10::Device device{c10::kCPU};
};

class BatchLoader {
 public:
  // `sampler` and `plan` outlive it. Begins to draw the first batch.
  BatchLoader(const Sampler& sampler, const Plan& plan, const BatchSetting& setting);

  // The next batch, on the device; begins to draw the one behind it. Throws what drawing threw.
  // Copies to a GPU are enqueued on this thread's current stream.
  SampleBatch Next();

 private:
  SampleBatch Draw(int64_t step);
  void Begin();

  const Sampler& sampler_;
  const Plan& plan_;
  BatchSetting setting_;
  ThreadPool pool_;
  int64_t step_;
  std::future<SampleBatch> next_;  // last: its thread ends before what it uses
};

}  // namespace orchard::segment
