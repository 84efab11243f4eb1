// A placed graph as a sequence of segments: each on one device, each needing only what earlier
// ones made. So a runtime that runs whole models on one device can run them one after the other.
#pragma once

#include <cstdint>
#include <vector>

namespace orchard::place {

struct Segments {
  std::vector<int32_t> segment;  // of every node
  std::vector<int32_t> device;   // of every segment
  int32_t least = 0;             // no cut has fewer
};

// `successors` of every node, without a cycle, and the device of every node. A segment takes all
// that can run on its device, which never costs a segment later on; which device comes next is
// searched with a beam. Two devices get the fewest segments there are; more devices, few, and the
// bound `least` (the most changes of device along a path, and the number of devices) says how far
// from that they can be.
Segments CutIntoSegments(const std::vector<std::vector<int32_t>>& successors,
                         const std::vector<int32_t>& device);

}  // namespace orchard::place
