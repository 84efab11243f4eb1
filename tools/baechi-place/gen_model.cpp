// baechi-place gen-model: TorchScript models with random weights.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "baechi-place/tensor_commands.h"
#include "base/error.h"
#include "base/number_format.h"
#include "execute/models.h"

namespace orchard::baechi_place {

int RunGenModel(const GenModelCommandOptions& options, const cli::Context& context) {
  if (std::filesystem::exists(options.output) && !context.common.force && !context.common.dry_run)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
  if (context.common.dry_run) return 0;
  const execute::ModelFacts facts = execute::WriteModel(options.output, options.model,
                                                        static_cast<uint64_t>(context.common.seed));
  if (context.common.json) {
    fmt::print("{}\n", nlohmann::ordered_json({{"parameters", facts.parameters}}).dump());
  } else {
    fmt::print("{} parameters: {}\n", FormatInteger(static_cast<uint64_t>(facts.parameters)),
               options.output.string());
  }
  return 0;
}

}  // namespace orchard::baechi_place
