// Growth in the middle of a training run: small for the first steps, bigger for the next.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "cli/fields.h"
#include "expand/optimizer_state.h"
#include "expand/options.h"

namespace orchard::expand {

// One growth, written as a line of `key=value`: "at_step=1000 hidden=96 layers=4 optim=asym". Keys
// are those of `expand` besides the two here.
struct GrowthStage {
  int64_t at_step = 0;                    // updates made before it
  StateGrowth optim = StateGrowth::kMap;  // what becomes of the optimiser's state
  TargetOptions target;
  MethodOptions method;

  void Fields(cli::FieldVisitor& f) {
    f("at_step", at_step, "updates before the growth", cli::AtLeast(1));
    f("optim", optim, "optimiser state: started anew, mapped, or mapped to first copies only");
    target.Fields(f);
    method.Fields(f);
  }
};

// Throws UsageError, naming the text and key, for what cannot be read, growth that is not in order
// of steps, and growth at the end of `steps` or later.
std::vector<GrowthStage> ParseStages(const std::vector<std::string>& texts, int64_t steps);

// Throws UsageError and ImpossibleError when one of the stages asks for sizes that a model of
// `config` cannot be grown to, before anything is trained.
void CheckStages(const std::vector<GrowthStage>& stages, const arch::Architecture& architecture,
                 const arch::Json& config);

// Grows the model directory `source` into `destination`, replacing what is there. Its
// optimizer.safetensors, where there is one, is grown as the stage says.
void GrowInRun(const GrowthStage& stage, const std::filesystem::path& source,
               const std::filesystem::path& destination, uint64_t seed, int threads);

}  // namespace orchard::expand
