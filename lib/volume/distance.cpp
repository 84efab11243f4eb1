#include "volume/distance.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "base/error.h"
#include "base/simd.h"
#include "volume/distance_element.h"

namespace orchard::volume {
namespace {

constexpr int64_t kColumns = 32;  // of a tile: neighbours along i, read together
constexpr int64_t kLanes = 16;    // searched together
// Steps a row of lanes may take on average before its columns go to the envelope, which costs about
// as much.
template <class T>
constexpr int64_t kPatience = sizeof(T) == 4 ? 128 : 64;

template <class T>
using Vector __attribute__((vector_size(32), may_alias)) = T;

// Distances within a row: to the nearer end of the run of equal labels that a voxel is in.
template <class L, class T>
ORCHARD_SIMD void ScanRow(const L* labels, int64_t length, T step, bool border, T* squared) {
  constexpr T kFar = std::numeric_limits<T>::infinity();
  for (int64_t begin = 0, end = 0; begin < length; begin = end) {
    const L label = labels[begin];
    while (end < length && labels[end] == label) ++end;
    if (label == 0) {
      std::memset(squared + begin, 0, static_cast<size_t>(end - begin) * sizeof(T));
      continue;
    }
    const bool left = begin > 0 || border, right = end < length || border;
    const auto run = static_cast<int32_t>(end - begin);
    T* const out = squared + begin;
    if (!left && !right) {
      std::fill(out, out + run, kFar);
    } else if (left && right) {
#pragma omp simd
      for (int32_t x = 0; x < run; ++x)
        out[x] = SquaredSteps(step, static_cast<T>(std::min(x + 1, run - x)));
    } else {
      const int32_t first = left ? 1 : run, sign = left ? 1 : -1;
#pragma omp simd
      for (int32_t x = 0; x < run; ++x)
        out[x] = SquaredSteps(step, static_cast<T>(first + sign * x));
    }
  }
}

// Columns side by side: `found` [length, kColumns] are the distances before this axis, `best` what
// is known of those after it.
template <class T>
struct Tile {
  explicit Tile(int64_t length)
      : room(static_cast<size_t>(2 * length * kColumns) + 32 / sizeof(T)) {
    void* at = room.data();
    size_t space = room.size() * sizeof(T);
    found = static_cast<T*>(std::align(32, space - 31, at, space));
    best = found + length * kColumns;
  }
  std::vector<T> room;
  T *found, *best;
};

// best = min(found, distance to the next voxel of another label along this axis).
template <class L, class T>
ORCHARD_SIMD void StartFromRunEnds(const L* labels, const T* found, int64_t length, T step,
                                   bool border, T* best) {
  constexpr T kFar = std::numeric_limits<T>::infinity();
  T steps[kColumns];
#pragma omp simd
  for (int64_t c = 0; c < kColumns; ++c) steps[c] = border ? T(0) : kFar;
  for (int64_t x = 0; x < length; ++x) {
    const L *here = labels + x * kColumns, *before = x > 0 ? here - kColumns : here;
#pragma omp simd
    for (int64_t c = 0; c < kColumns; ++c) {
      steps[c] = (here[c] == before[c] ? steps[c] : T(0)) + 1;
      const T squared = SquaredSteps(step, steps[c]), old = found[x * kColumns + c];
      best[x * kColumns + c] = squared < old ? squared : old;
    }
  }
#pragma omp simd
  for (int64_t c = 0; c < kColumns; ++c) steps[c] = border ? T(0) : kFar;
  for (int64_t x = length - 1; x >= 0; --x) {
    const L *here = labels + x * kColumns, *after = x + 1 < length ? here + kColumns : here;
#pragma omp simd
    for (int64_t c = 0; c < kColumns; ++c) {
      steps[c] = (here[c] == after[c] ? steps[c] : T(0)) + 1;
      const T squared = SquaredSteps(step, steps[c]), old = best[x * kColumns + c];
      best[x * kColumns + c] = squared < old ? squared : old;
    }
  }
}

// Searches kLanes columns of all rows. False when that takes long: `best` then holds results of
// some rows, which are as good a start as before.
template <class T>
ORCHARD_SIMD bool SearchColumns(const T* found, T* best, int64_t length, T step) {
  constexpr int kVectors = kLanes * sizeof(T) / 32;
  constexpr int kWidth = 32 / sizeof(T);
  int64_t taken = 0;
  for (int64_t x = 0; x < length; ++x) {
    Vector<T> b[kVectors];
    for (int v = 0; v < kVectors; ++v)
      b[v] = *reinterpret_cast<const Vector<T>*>(best + x * kColumns + v * kWidth);
    const int64_t furthest = std::max(x, length - 1 - x);
    int64_t r = 1;
    for (; r <= furthest; ++r) {
      const T squared = SquaredSteps(step, static_cast<T>(r));
      auto further = b[0] > squared;
      for (int v = 1; v < kVectors; ++v) further |= b[v] > squared;
      int64_t words[4];
      std::memcpy(words, &further, sizeof(words));
      if ((words[0] | words[1] | words[2] | words[3]) == 0) break;
      if (r <= x) {
        const T* const row = found + (x - r) * kColumns;
        for (int v = 0; v < kVectors; ++v) {
          const Vector<T> value = *reinterpret_cast<const Vector<T>*>(row + v * kWidth) + squared;
          b[v] = value < b[v] ? value : b[v];
        }
      }
      if (x + r < length) {
        const T* const row = found + (x + r) * kColumns;
        for (int v = 0; v < kVectors; ++v) {
          const Vector<T> value = *reinterpret_cast<const Vector<T>*>(row + v * kWidth) + squared;
          b[v] = value < b[v] ? value : b[v];
        }
      }
    }
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<Vector<T>*>(best + x * kColumns + v * kWidth) = b[v];
    taken += r;
    if (taken > kPatience<T> * (x + 16)) return false;
  }
  return true;
}

// The parabolas that make up the lower envelope of one column: `site` their vertices, `from` where
// each takes over.
struct Envelope {
  explicit Envelope(int64_t length)
      : site(static_cast<size_t>(length)), from(static_cast<size_t>(length)) {}
  std::vector<int64_t> site;
  std::vector<double> from;
};

template <class T>
void FollowEnvelope(const T* found, T* best, int64_t length, T step, Envelope& envelope) {
  const double square = static_cast<double>(step) * static_cast<double>(step);
  const auto height = [&](int64_t x) {
    const auto at = static_cast<double>(x);
    return static_cast<double>(found[x * kColumns]) + square * at * at;
  };
  int64_t count = 0;
  for (int64_t x = 0; x < length; ++x) {
    if (!std::isfinite(found[x * kColumns])) continue;
    double meet = -std::numeric_limits<double>::infinity();
    while (count > 0) {
      const int64_t last = envelope.site[static_cast<size_t>(count - 1)];
      meet = (height(x) - height(last)) / (2 * square * static_cast<double>(x - last));
      if (meet > envelope.from[static_cast<size_t>(count - 1)]) break;
      --count;
    }
    if (count == 0) meet = -std::numeric_limits<double>::infinity();
    envelope.site[static_cast<size_t>(count)] = x;
    envelope.from[static_cast<size_t>(count++)] = meet;
  }
  if (count == 0) return;
  int64_t at = 0;
  for (int64_t x = 0; x < length; ++x) {
    while (at + 1 < count && envelope.from[static_cast<size_t>(at + 1)] < static_cast<double>(x))
      ++at;
    // Rounding may have moved a crossing by a little: the neighbours may be as near.
    T& value = best[x * kColumns];
    for (int64_t a = std::max<int64_t>(0, at - 1); a <= std::min(count - 1, at + 1); ++a) {
      const int64_t site = envelope.site[static_cast<size_t>(a)];
      const T candidate = found[site * kColumns] +
                          SquaredSteps(step, static_cast<T>(site > x ? site - x : x - site));
      value = candidate < value ? candidate : value;
    }
  }
}

// One tile of the pass along an axis: columns of `count` <= kColumns voxels, `stride` apart along
// the axis. Without `labels`, found distances of 0 are the only borders.
template <class L, class T>
void PassTile(const L* labels, T* squared, int64_t length, int64_t stride, int64_t count, T step,
              bool border) {
  Tile<T> tile(length);
  for (int64_t x = 0; x < length; ++x) {
    T* const row = tile.found + x * kColumns;
    std::copy_n(squared + x * stride, count, row);
    std::fill(row + count, row + kColumns, T(0));
  }
  if (labels == nullptr) {
    std::copy_n(tile.found, length * kColumns, tile.best);
  } else {
    std::vector<L> tile_labels(static_cast<size_t>(length * kColumns), 0);
    for (int64_t x = 0; x < length; ++x)
      std::copy_n(labels + x * stride, count, tile_labels.data() + x * kColumns);
    StartFromRunEnds(tile_labels.data(), tile.found, length, step, border, tile.best);
  }
  for (int64_t c = 0; c < count; c += kLanes) {
    if (SearchColumns(tile.found + c, tile.best + c, length, step)) continue;
    Envelope envelope(length);
    for (int64_t l = c; l < std::min(count, c + kLanes); ++l)
      FollowEnvelope(tile.found + l, tile.best + l, length, step, envelope);
  }
  for (int64_t x = 0; x < length; ++x)
    std::copy_n(tile.best + x * kColumns, count, squared + x * stride);
}

template <class L, class T>
void PassRows(const DistanceArgs<L, T>& a, ThreadPool& pool) {
  pool.ForEach(a.size[2], [&](int64_t k) {
    for (int64_t row = k * a.size[1]; row < (k + 1) * a.size[1]; ++row) {
      ScanRow(a.labels + row * a.size[0], a.size[0], static_cast<T>(a.spacing[0]), a.border,
              a.squared + row * a.size[0]);
    }
  });
}

// The pass along axis 1 or 2.
template <class L, class T>
void PassColumns(const DistanceArgs<L, T>& a, size_t axis, bool labelled, ThreadPool& pool) {
  if (a.size[axis] == 1 && !a.border) return;
  const int64_t stride = axis == 1 ? a.size[0] : a.size[0] * a.size[1];
  const int64_t other = axis == 1 ? 2 : 1;
  const int64_t other_stride = axis == 1 ? a.size[0] * a.size[1] : a.size[0];
  const int64_t tiles = (a.size[0] + kColumns - 1) / kColumns;
  pool.ForEach(a.size[static_cast<size_t>(other)], [&](int64_t line) {
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t at = line * other_stride + t * kColumns;
      PassTile(labelled ? a.labels + at : nullptr, a.squared + at, a.size[axis], stride,
               std::min(kColumns, a.size[0] - t * kColumns), static_cast<T>(a.spacing[axis]),
               a.border);
    }
  });
}

template <class L, class T>
void Check(const DistanceArgs<L, T>& a) {
  for (size_t axis = 0; axis < 3; ++axis) {
    if (a.size[axis] < 1 || a.size[axis] > std::numeric_limits<int32_t>::max())
      throw UsageError("a volume without voxels, or with an axis of more than 2^31 - 1", a.name);
    if (!(a.spacing[axis] > 0) || !std::isfinite(a.spacing[axis]))
      throw UsageError("a spacing that is not positive", a.name);
  }
}

}  // namespace

template <class L, class T>
void SquaredDistances(const DistanceArgs<L, T>& args, ThreadPool& pool) {
  Check(args);
  PassRows(args, pool);
  PassColumns(args, 1, true, pool);
  PassColumns(args, 2, true, pool);
}

std::vector<double> SquaredDistancesAt(const std::vector<uint8_t>& mask, const Size3& size,
                                       const Spacing3& spacing, const std::vector<int64_t>& where,
                                       ThreadPool& pool) {
  std::vector<double> squared(mask.size());
  const DistanceArgs<uint8_t, double> args{.name = "mask",
                                           .size = size,
                                           .spacing = spacing,
                                           .labels = mask.data(),
                                           .squared = squared.data()};
  Check(args);
  PassRows(args, pool);
  PassColumns(args, 1, false, pool);
  const int64_t plane = size[0] * size[1];
  std::vector<double> result(where.size());
  constexpr int64_t kChunk = 1024;
  const auto count = static_cast<int64_t>(where.size());
  pool.ForEach((count + kChunk - 1) / kChunk, [&](int64_t chunk) {
    for (int64_t q = chunk * kChunk; q < std::min(count, (chunk + 1) * kChunk); ++q) {
      const int64_t at = where[static_cast<size_t>(q)], k = at / plane;
      double best = squared[static_cast<size_t>(at)];
      for (int64_t r = 1; r < size[2]; ++r) {
        const double further = SquaredSteps(spacing[2], static_cast<double>(r));
        if (best <= further) break;
        if (r <= k) best = std::min(best, squared[static_cast<size_t>(at - r * plane)] + further);
        if (k + r < size[2])
          best = std::min(best, squared[static_cast<size_t>(at + r * plane)] + further);
      }
      result[static_cast<size_t>(q)] = best;
    }
  });
  return result;
}

#define ORCHARD_DISTANCES(L)                                                  \
  template void SquaredDistances(const DistanceArgs<L, float>&, ThreadPool&); \
  template void SquaredDistances(const DistanceArgs<L, double>&, ThreadPool&);
ORCHARD_DISTANCES(uint8_t)
ORCHARD_DISTANCES(uint16_t)
ORCHARD_DISTANCES(int32_t)
#undef ORCHARD_DISTANCES

}  // namespace orchard::volume
