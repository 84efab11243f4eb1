// The page of an executed placement.
#pragma once

#include "execute/run_model.h"
#include "run/report.h"

namespace orchard::baechi_place {

run::Report RunReport(const execute::Program& program, const place::Cluster& cluster,
                      const execute::RunResult& result);

}  // namespace orchard::baechi_place
