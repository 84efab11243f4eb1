// A box plot as SVG: quartiles, whiskers to the furthest value within 1.5 box lengths, and every
// value as a point.
#pragma once

#include <string>
#include <vector>

namespace orchard::segment {

struct BoxOf {
  std::string name;
  std::vector<double> values;  // what is not finite is left out
};

// `unit` may be empty. With `from_zero_to_one` the axis is that of a share.
std::string BoxPlotSvg(const std::vector<BoxOf>& boxes, const std::string& title,
                       const std::string& unit, bool from_zero_to_one);

}  // namespace orchard::segment
