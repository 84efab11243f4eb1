// What the subcommands share: the graph with its devices, and the run directory.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/program.h"
#include "place/options.h"
#include "place/plan.h"
#include "run/report.h"
#include "run/run_dir.h"

namespace orchard::baechi_place {

// The threads and the device that PDLP may use. Asks the driver only where PDLP is asked for.
place::PdlpHardware PdlpHardware(const cli::Context& context, const place::PlaceOptions& options);

// Runs `work` inside the run directory of --out when there is one: what it returns is the result in
// summary.json. Without, just runs it.
void InRunDir(const cli::Context& context,
              const std::function<nlohmann::json(run::RunDir* directory)>& work);

// How far `makespan` is above `bound`, relative to the bound; 0 where that is 0.
double GapOf(place::Time makespan, place::Time bound);

// "4 devices of 8.00 GB, parallel links of 5.70 GB/s and 134 us".
std::string DescribeCluster(const place::Cluster& cluster);

// What results of this command depend on: the configuration but for where they go and which part of
// them this job makes, the graphs (their hashes) and the version.
std::string ResultKey(const cli::Context& context, const std::string& graphs);

}  // namespace orchard::baechi_place
