#include "io/medical/orientation.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace orchard::io {
namespace {

constexpr std::array<std::array<int, 3>, 6> kPermutations = {
    {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};

// Copies elements of `Size` bytes, the target in order. `first` and `step` are in source elements.
template <size_t Size>
void Gather(const std::byte* source, std::byte* target, const std::array<int64_t, 3>& size,
            int64_t first, const std::array<int64_t, 3>& step) {
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      int64_t at = first + k * step[2] + j * step[1];
      for (int64_t i = 0; i < size[0]; ++i, at += step[0], target += Size)
        std::memcpy(target, source + at * static_cast<int64_t>(Size), Size);
    }
  }
}

// Of `a` from the voxels of `b` that begin at `offset`.
double FarthestCorner(const Grid& a, const Grid& b, const std::array<int64_t, 3>& offset = {}) {
  double most = 0;
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index, other;
    for (size_t axis = 0; axis < 3; ++axis) {
      index[axis] = corner >> axis & 1 ? static_cast<double>(a.size[axis] - 1) : 0.0;
      other[axis] = index[axis] + static_cast<double>(offset[axis]);
    }
    most = std::max(most, Norm(Minus(a.affine(index), b.affine(other))));
  }
  return most;
}

}  // namespace

AxisMap ClosestCanonical(const Affine& affine) {
  const Vec3 spacing = affine.Spacing();
  AxisMap best;
  double best_sum = -1;
  for (const auto& axis : kPermutations) {
    AxisMap map{.axis = axis};
    double sum = 0;
    for (size_t world = 0; world < 3; ++world) {
      const auto source = static_cast<size_t>(axis[world]);
      const double cosine = spacing[source] > 0 ? affine.m[world][source] / spacing[source] : 0.0;
      sum += std::abs(cosine);
      map.flip[world] = cosine < 0;
    }
    if (sum > best_sum + 1e-9) {
      best = map;
      best_sum = sum;
    }
  }
  return best;
}

AxisMap Inverse(const AxisMap& map) {
  AxisMap inverse;
  for (int a = 0; a < 3; ++a) {
    const auto source = static_cast<size_t>(map.axis[static_cast<size_t>(a)]);
    inverse.axis[source] = a;
    inverse.flip[source] = map.flip[static_cast<size_t>(a)];
  }
  return inverse;
}

Grid Reorient(const Grid& grid, const AxisMap& map) {
  Grid result;
  Vec3 origin_index{0, 0, 0};
  Vec3 columns[3];
  for (size_t a = 0; a < 3; ++a) {
    const auto source = static_cast<size_t>(map.axis[a]);
    result.size[a] = grid.size[source];
    columns[a] = grid.affine.Column(map.axis[a]);
    if (map.flip[a]) {
      origin_index[source] = static_cast<double>(grid.size[source] - 1);
      for (double& value : columns[a]) value = 0 - value;  // no negative zeros in files
    }
  }
  result.affine =
      Affine::FromColumns(columns[0], columns[1], columns[2], grid.affine(origin_index));
  return result;
}

Volume Reorient(const Volume& volume, const AxisMap& map) {
  if (map.identity()) return volume;
  Volume result = MakeVolume(Reorient(volume.grid, map), volume.dtype);
  result.slope = volume.slope;
  result.intercept = volume.intercept;
  const std::array<int64_t, 3> stride = {1, volume.grid.size[0],
                                         volume.grid.size[0] * volume.grid.size[1]};
  std::array<int64_t, 3> step{};
  int64_t first = 0;
  for (size_t a = 0; a < 3; ++a) {
    const auto source = static_cast<size_t>(map.axis[a]);
    step[a] = map.flip[a] ? -stride[source] : stride[source];
    if (map.flip[a]) first += (volume.grid.size[source] - 1) * stride[source];
  }
  const auto gather = [&]<size_t Size>() {
    Gather<Size>(volume.data.data(), result.data.data(), result.grid.size, first, step);
  };
  VisitNumber(volume.dtype, [&]<class T>(T) { gather.template operator()<sizeof(T)>(); });
  return result;
}

std::optional<AxisMap> MatchGrids(const Grid& from, const Grid& to, double tolerance) {
  for (const auto& axis : kPermutations) {
    for (unsigned flips = 0; flips < 8; ++flips) {
      const AxisMap map{.axis = axis,
                        .flip = {(flips & 1) != 0, (flips & 2) != 0, (flips & 4) != 0}};
      const Grid turned = Reorient(from, map);
      if (turned.size == to.size && FarthestCorner(turned, to) <= tolerance) return map;
    }
  }
  return std::nullopt;
}

std::optional<PartPlace> FindPart(const Grid& part, const Grid& whole, double tolerance) {
  if (whole.affine.Singular()) return std::nullopt;
  const Affine to_index = whole.affine.Inverse();
  for (const auto& axis : kPermutations) {
    for (unsigned flips = 0; flips < 8; ++flips) {
      PartPlace place{
          .turn = {.axis = axis, .flip = {(flips & 1) != 0, (flips & 2) != 0, (flips & 4) != 0}}};
      const Grid turned = Reorient(part, place.turn);
      const Vec3 first = to_index(turned.affine.Origin());
      bool inside = true;
      for (size_t a = 0; a < 3 && inside; ++a) {
        const double at = std::round(first[a]);
        inside = at >= 0 &&
                 at + static_cast<double>(turned.size[a]) <= static_cast<double>(whole.size[a]);
        if (inside) place.offset[a] = static_cast<int64_t>(at);
      }
      if (inside && FarthestCorner(turned, whole, place.offset) <= tolerance) return place;
    }
  }
  return std::nullopt;
}

Volume PutPart(const Volume& part, const Grid& whole, const PartPlace& place) {
  const Volume turned = Reorient(part, place.turn);
  Volume result = MakeVolume(whole, part.dtype);
  result.slope = part.slope;
  result.intercept = part.intercept;
  const std::array<int64_t, 3>& size = turned.grid.size;
  const size_t bytes = part.data.size() / static_cast<size_t>(part.grid.Voxels());
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      const int64_t from = size[0] * (j + size[1] * k);
      const int64_t to = place.offset[0] + whole.size[0] * (place.offset[1] + j +
                                                            whole.size[1] * (place.offset[2] + k));
      std::memcpy(result.data.data() + static_cast<size_t>(to) * bytes,
                  turned.data.data() + static_cast<size_t>(from) * bytes,
                  static_cast<size_t>(size[0]) * bytes);
    }
  }
  return result;
}

}  // namespace orchard::io
