// A model file as a program, by what its name says it is.
#pragma once

#include "baechi-place/import.h"
#include "cli/program.h"
#include "execute/options.h"
#include "execute/program.h"

namespace orchard::baechi_place {

// .pt and .ts: TorchScript; .pt2: torch.export. Throws UsageError for other names.
execute::Program ReadModel(const std::filesystem::path& path, const execute::InputOptions& inputs,
                           const cli::Context& context);

// Its graph with analytic costs, for `import`.
place::Graph ImportTorchGraph(const ImportCommandOptions& options, const cli::Context& context,
                              place::ImportReport& report);

bool IsTorchScript(const std::filesystem::path& path);

}  // namespace orchard::baechi_place
