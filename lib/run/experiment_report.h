// What experiments found, for people (a page, lines of text) and programs (JSON).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "run/experiment.h"

namespace orchard::run {

// "passed", "failed", "as it came out".
const char* Name(Verdict verdict);

// {"experiments": [{"name", "title", "claim", "verdict", "measurements", "notes", "seconds"}]}.
nlohmann::ordered_json ExperimentsJson(const std::vector<ExperimentResult>& results);

// A line for the experiment and one for each of its measurements.
std::string ExperimentText(const ExperimentResult& result);

// A verdict for each, then a section for each: claim, measurements, charts, tables, notes.
Report ExperimentPage(const std::string& title, const std::string& program,
                      const std::vector<ExperimentResult>& results, const std::string& config_toml);

}  // namespace orchard::run
