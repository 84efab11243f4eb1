// Connected components of a label map: neighbouring voxels of one label that is not 0.
//
// Rows become runs of equal labels, and runs that touch are joined (union-find), so that time goes
// with the number of runs rather than voxels. Planes are joined in parallel; the numbering does not
// depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "volume/shape.h"

namespace orchard::volume {

// Which voxels are neighbours: those that share a face, also an edge, also a corner.
enum class Connectivity { k6 = 6, k18 = 18, k26 = 26 };

struct Component {
  int64_t label = 0;
  int64_t voxels = 0;
  int64_t first = 0;  // index of its first voxel
};

struct Components {
  std::vector<int32_t> id;      // per voxel: 0 for background, else 1 + index into `list`
  std::vector<Component> list;  // in the order of their first voxels
};

// T: uint8_t, uint16_t or int32_t. Throws ImpossibleError for more than 2^31 - 1 runs.
template <class T>
Components FindComponents(std::span<const T> labels, const Size3& size, Connectivity connectivity,
                          ThreadPool& pool);

// Sets all but the largest component of each label to 0; of equally large ones the first stays.
// Returns how many voxels were removed.
template <class T>
int64_t KeepLargest(std::span<T> labels, const Size3& size, Connectivity connectivity,
                    ThreadPool& pool);

}  // namespace orchard::volume
