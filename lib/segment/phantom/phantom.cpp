#include "segment/phantom/phantom.h"

#include "segment/phantom/noise.h"

namespace orchard::segment {

PreparedCase AsCase(const Phantom& phantom, const std::string& id, const std::string& subject,
                    int64_t classes, uint8_t label) {
  PreparedCase c{.id = id, .subject = subject, .labels = phantom.labels};
  std::vector<double> values(phantom.image.begin(), phantom.image.end());
  Standardise(values, 1);
  c.image.values.assign(values.begin(), values.end());
  c.image.size = phantom.size;
  c.image.channels = 1;
  c.image.body = {{0, 0, 0}, c.image.size};
  c.image.frame.whole = c.image.size;
  c.image.frame.crop = c.image.body;
  c.image.frame.spacing = {1, 1, 1};
  if (label != 0) {
    for (uint8_t& l : c.labels) l = l == label ? 1 : 0;
  }
  IndexCase(c, classes);
  return c;
}

}  // namespace orchard::segment
