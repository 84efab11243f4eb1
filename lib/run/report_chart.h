// A chart as the page needs it: data for Chart.js, and the same numbers as a table for readers
// without a canvas.
#pragma once

#include <string>

#include "run/report.h"

namespace orchard::run {

// Throws Error (internal) when lengths disagree, or a bar chart has another number of values than
// categories.
void CheckChart(const Chart& chart);

// What page.js draws, as JSON. Long series are thinned to about a thousand points that keep every
// peak.
std::string ChartJson(const Chart& chart);

// The values behind the picture; long ones thinned to `max_rows`.
Table ChartTable(const Chart& chart, size_t max_rows = 200);

// "loss (nat)".
std::string AxisLabel(const Axis& axis);

}  // namespace orchard::run
