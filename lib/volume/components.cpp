#include "volume/components.h"

#include <cstring>
#include <limits>
#include <map>

#include "base/error.h"

namespace orchard::volume {
namespace {

struct Run {
  int32_t begin, end;  // along i
  int32_t label;
};

// All runs of a label map, row by row, and the sets they are joined to.
class Runs {
 public:
  template <class T>
  Runs(std::span<const T> labels, const Size3& size, Connectivity connectivity, ThreadPool& pool);

  int64_t size() const { return static_cast<int64_t>(runs_.size()); }
  const Run& operator[](int64_t r) const { return runs_[static_cast<size_t>(r)]; }
  // The first run of the component of run `r`. After construction parents point to roots.
  int32_t Root(int64_t r) const { return parent_[static_cast<size_t>(r)]; }
  // Runs [Begin(row), Begin(row + 1)) lie in row j + size[1] * k.
  int64_t Begin(int64_t row) const { return begin_[static_cast<size_t>(row)]; }

 private:
  int32_t Find(int32_t r) {
    while (parent_[static_cast<size_t>(r)] != r) {
      int32_t& parent = parent_[static_cast<size_t>(r)];
      parent = parent_[static_cast<size_t>(parent)];
      r = parent;
    }
    return r;
  }
  void Join(int32_t a, int32_t b) {
    a = Find(a);
    b = Find(b);
    if (a < b)
      parent_[static_cast<size_t>(b)] = a;
    else
      parent_[static_cast<size_t>(a)] = b;
  }
  void JoinRows(int64_t row, int64_t other, int32_t reach);
  void JoinPlane(const Size3& size, int64_t k, bool below, Connectivity connectivity);

  std::vector<Run> runs_;
  std::vector<int64_t> begin_;
  std::vector<int32_t> parent_;
};

// Appends the runs of one row.
template <class T>
void ScanRow(const T* row, int64_t length, std::vector<Run>& runs) {
  int64_t i = 0;
  while (i < length) {
    if (row[i] == 0) {
      // Most of a label map is background: eight bytes at a time.
      constexpr int64_t kStep = static_cast<int64_t>(sizeof(uint64_t) / sizeof(T));
      uint64_t word = 0;
      while (i + kStep <= length && (std::memcpy(&word, row + i, sizeof(word)), word == 0))
        i += kStep;
      while (i < length && row[i] == 0) ++i;
      continue;
    }
    const T label = row[i];
    const int64_t begin = i;
    while (i < length && row[i] == label) ++i;
    runs.push_back(
        {static_cast<int32_t>(begin), static_cast<int32_t>(i), static_cast<int32_t>(label)});
  }
}

// Joins the runs of two rows that overlap, or come within `reach` of it along i.
void Runs::JoinRows(int64_t row, int64_t other, int32_t reach) {
  int64_t a = Begin(row), b = Begin(other);
  const int64_t a_end = Begin(row + 1), b_end = Begin(other + 1);
  const auto join_if_touching = [&](int64_t r, int64_t s) {
    if (r >= a_end || s >= b_end) return;
    const Run &x = (*this)[r], &y = (*this)[s];
    if (x.label == y.label && x.begin < y.end + reach && y.begin < x.end + reach)
      Join(static_cast<int32_t>(r), static_cast<int32_t>(s));
  };
  while (a < a_end && b < b_end) {
    join_if_touching(a, b);
    // What ends first cannot touch what follows the other, unless both end together.
    const int32_t x_end = (*this)[a].end, y_end = (*this)[b].end;
    if (x_end == y_end) {
      join_if_touching(a + 1, b);
      join_if_touching(a, b + 1);
    }
    a += x_end <= y_end ? 1 : 0;
    b += y_end <= x_end ? 1 : 0;
  }
}

// Joins the rows of plane k with earlier rows of the plane, or (`below`) with those of plane k - 1.
void Runs::JoinPlane(const Size3& size, int64_t k, bool below, Connectivity connectivity) {
  const int32_t side = connectivity == Connectivity::k6 ? 0 : 1;  // rows that share a face
  for (int64_t j = 0; j < size[1]; ++j) {
    const int64_t row = j + size[1] * k;
    if (!below) {
      if (j > 0) JoinRows(row, row - 1, side);
      continue;
    }
    JoinRows(row, row - size[1], side);
    if (connectivity == Connectivity::k6) continue;
    const int32_t diagonal = connectivity == Connectivity::k26 ? 1 : 0;
    if (j > 0) JoinRows(row, row - size[1] - 1, diagonal);
    if (j + 1 < size[1]) JoinRows(row, row - size[1] + 1, diagonal);
  }
}

template <class T>
Runs::Runs(std::span<const T> labels, const Size3& size, Connectivity connectivity,
           ThreadPool& pool) {
  const int64_t planes = size[2], rows = size[1];
  std::vector<std::vector<Run>> found(static_cast<size_t>(planes));
  begin_.assign(static_cast<size_t>(rows * planes + 1), 0);
  pool.ForEach(planes, [&](int64_t k) {
    std::vector<Run>& plane = found[static_cast<size_t>(k)];
    for (int64_t j = 0; j < rows; ++j) {
      const int64_t row = j + rows * k;
      ScanRow(labels.data() + row * size[0], size[0], plane);
      begin_[static_cast<size_t>(row + 1)] = static_cast<int64_t>(plane.size());
    }
  });
  int64_t total = 0;
  for (int64_t k = 0; k < planes; ++k) {
    for (int64_t j = 0; j < rows; ++j) begin_[static_cast<size_t>(j + rows * k + 1)] += total;
    total += static_cast<int64_t>(found[static_cast<size_t>(k)].size());
  }
  if (total > std::numeric_limits<int32_t>::max())
    throw ImpossibleError("a label map with more than 2^31 - 1 runs of equal labels");
  runs_.reserve(static_cast<size_t>(total));
  for (std::vector<Run>& plane : found) {
    runs_.insert(runs_.end(), plane.begin(), plane.end());
    plane = {};
  }
  parent_.resize(static_cast<size_t>(total));
  for (int64_t r = 0; r < total; ++r) parent_[static_cast<size_t>(r)] = static_cast<int32_t>(r);

  // Slabs of planes have sets of their own, which are joined afterwards.
  const int64_t slabs = std::min<int64_t>(planes, int64_t{4} * pool.threads());
  pool.ForEach(slabs, [&](int64_t s) {
    const int64_t first = planes * s / slabs, last = planes * (s + 1) / slabs;
    for (int64_t k = first; k < last; ++k) {
      JoinPlane(size, k, false, connectivity);
      if (k > first) JoinPlane(size, k, true, connectivity);
    }
  });
  for (int64_t s = 1; s < slabs; ++s) JoinPlane(size, planes * s / slabs, true, connectivity);
  for (int64_t r = 0; r < total; ++r)
    parent_[static_cast<size_t>(r)] = Find(static_cast<int32_t>(r));
}

void CheckSize(size_t voxels, const Size3& size) {
  if (static_cast<int64_t>(voxels) != Voxels(size) ||
      size[0] >= std::numeric_limits<int32_t>::max())
    throw UsageError("labels and size disagree", "connected components");
}

// Voxels of the component that each run begins; 0 for runs that begin none.
std::vector<int64_t> VoxelsByRoot(const Runs& runs) {
  std::vector<int64_t> voxels(static_cast<size_t>(runs.size()), 0);
  for (int64_t r = 0; r < runs.size(); ++r)
    voxels[static_cast<size_t>(runs.Root(r))] += runs[r].end - runs[r].begin;
  return voxels;
}

}  // namespace

template <class T>
Components FindComponents(std::span<const T> labels, const Size3& size, Connectivity connectivity,
                          ThreadPool& pool) {
  CheckSize(labels.size(), size);
  const Runs runs(labels, size, connectivity, pool);
  const std::vector<int64_t> voxels = VoxelsByRoot(runs);
  Components result;
  std::vector<int32_t> number(static_cast<size_t>(runs.size()), 0);
  const int64_t rows = size[1] * size[2];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t r = runs.Begin(row); r < runs.Begin(row + 1); ++r) {
      if (runs.Root(r) != r) continue;
      result.list.push_back(
          {runs[r].label, voxels[static_cast<size_t>(r)], row * size[0] + runs[r].begin});
      number[static_cast<size_t>(r)] = static_cast<int32_t>(result.list.size());
    }
  }
  result.id.assign(labels.size(), 0);
  pool.ForEach(size[2], [&](int64_t k) {
    for (int64_t row = size[1] * k; row < size[1] * (k + 1); ++row) {
      int32_t* const ids = result.id.data() + row * size[0];
      for (int64_t r = runs.Begin(row); r < runs.Begin(row + 1); ++r)
        std::fill(ids + runs[r].begin, ids + runs[r].end,
                  number[static_cast<size_t>(runs.Root(r))]);
    }
  });
  return result;
}

template <class T>
int64_t KeepLargest(std::span<T> labels, const Size3& size, Connectivity connectivity,
                    ThreadPool& pool) {
  CheckSize(labels.size(), size);
  const Runs runs(std::span<const T>(labels), size, connectivity, pool);
  const std::vector<int64_t> voxels = VoxelsByRoot(runs);
  std::map<int32_t, int64_t> largest;  // of each label, the root
  for (int64_t r = 0; r < runs.size(); ++r) {
    if (runs.Root(r) != r) continue;
    const auto [at, added] = largest.try_emplace(runs[r].label, r);
    if (!added && voxels[static_cast<size_t>(r)] > voxels[static_cast<size_t>(at->second)])
      at->second = r;
  }
  int64_t removed = 0;
  for (int64_t row = 0; row < size[1] * size[2]; ++row) {
    T* const line = labels.data() + row * size[0];
    for (int64_t r = runs.Begin(row); r < runs.Begin(row + 1); ++r) {
      if (largest.at(runs[r].label) == runs.Root(r)) continue;
      std::fill(line + runs[r].begin, line + runs[r].end, T(0));
      removed += runs[r].end - runs[r].begin;
    }
  }
  return removed;
}

#define ORCHARD_COMPONENTS(T)                                                           \
  template Components FindComponents<T>(std::span<const T>, const Size3&, Connectivity, \
                                        ThreadPool&);                                   \
  template int64_t KeepLargest<T>(std::span<T>, const Size3&, Connectivity, ThreadPool&);
ORCHARD_COMPONENTS(uint8_t)
ORCHARD_COMPONENTS(uint16_t)
ORCHARD_COMPONENTS(int32_t)
#undef ORCHARD_COMPONENTS

}  // namespace orchard::volume
