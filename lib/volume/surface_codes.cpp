#include "volume/surface_codes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace orchard::volume {
namespace {

using Point = std::array<double, 3>;
using Polygon = std::vector<Point>;
using Areas = std::vector<Point>;  // of triangles, as vectors; only sizes of components matter

Point Half(int a, int b) {
  return {((a & 1) + (b & 1)) / 2.0, ((a >> 1 & 1) + (b >> 1 & 1)) / 2.0,
          ((a >> 2) + (b >> 2)) / 2.0};
}

// A piece of outline on a face of the cell: it joins the middles of two edges.
struct Segment {
  Point from, to;
};

// The outline on the face with the corners `ring`, in order around it.
void AddFace(int code, const std::array<int, 4>& ring, bool keep_inside_apart,
             std::vector<Segment>& outline) {
  const auto inside = [&](int n) { return (code >> ring[static_cast<size_t>(n & 3)] & 1) != 0; };
  const auto middle = [&](int n) {
    return Half(ring[static_cast<size_t>(n & 3)], ring[static_cast<size_t>((n + 1) & 3)]);
  };
  std::vector<int> crossings;
  for (int n = 0; n < 4; ++n)
    if (inside(n) != inside(n + 1)) crossings.push_back(n);
  if (crossings.size() == 2) outline.push_back({middle(crossings[0]), middle(crossings[1])});
  if (crossings.size() == 4)
    for (int n = 0; n < 4; ++n)  // cuts corner n off
      if (inside(n) == keep_inside_apart) outline.push_back({middle(n + 3), middle(n)});
}

// The closed polygons between inside and outside.
std::vector<Polygon> Polygons(int code) {
  std::vector<Segment> outline;
  const bool keep_inside_apart = std::popcount(static_cast<unsigned>(code)) <= 4;
  for (int axis = 0; axis < 3; ++axis) {
    const int u = 1 << (axis + 1) % 3, v = 1 << (axis + 2) % 3;
    for (int side : {0, 1 << axis})
      AddFace(code, {side, side | u, side | u | v, side | v}, keep_inside_apart, outline);
  }
  std::vector<Polygon> polygons;
  while (!outline.empty()) {
    Polygon polygon = {outline.back().from};
    Point next = outline.back().to;
    outline.pop_back();
    while (next != polygon.front()) {
      polygon.push_back(next);
      const auto at = std::find_if(outline.begin(), outline.end(), [&](const Segment& s) {
        return s.from == next || s.to == next;
      });
      next = at->from == next ? at->to : at->from;
      outline.erase(at);
    }
    polygons.push_back(polygon);
  }
  return polygons;
}

Point AreaOf(const Point& a, const Point& b, const Point& c) {
  Point u, v, area;
  for (size_t x = 0; x < 3; ++x) {
    u[x] = b[x] - a[x];
    v[x] = c[x] - a[x];
  }
  for (size_t x = 0; x < 3; ++x) {
    const size_t y = (x + 1) % 3, z = (x + 2) % 3;
    area[x] = std::abs(u[y] * v[z] - u[z] * v[y]) / 2;
  }
  return area;
}

double Size(const Point& area, const Spacing3& w) {
  const double x = area[0] * (w[1] * w[2]), y = area[1] * (w[0] * w[2]),
               z = area[2] * (w[0] * w[1]);
  return std::sqrt(x * x + y * y + z * z);
}

// All ways to cut corners [first, last] of a polygon into triangles.
std::vector<Areas> Cuts(const Polygon& polygon, size_t first, size_t last) {
  if (last - first < 2) return {{}};
  std::vector<Areas> cuts;
  for (size_t middle = first + 1; middle < last; ++middle) {
    const Point area = AreaOf(polygon[first], polygon[middle], polygon[last]);
    for (const Areas& before : Cuts(polygon, first, middle)) {
      for (const Areas& after : Cuts(polygon, middle, last)) {
        Areas cut = before;
        cut.insert(cut.end(), after.begin(), after.end());
        cut.push_back(area);
        cuts.push_back(cut);
      }
    }
  }
  return cuts;
}

// The triangles of one polygon by the rule of the header.
Areas Triangles(const Polygon& polygon) {
  constexpr Spacing3 kUnit = {1, 1, 1};
  constexpr double kEqual = 1e-9;
  Areas best;
  double best_total = -1, best_largest = -1;
  for (const Areas& cut : Cuts(polygon, 0, polygon.size() - 1)) {
    double total = 0, largest = 0;
    for (const Point& area : cut) {
      total += Size(area, kUnit);
      largest = std::max(largest, Size(area, kUnit));
    }
    const bool more = total > best_total + kEqual;
    if (more || (total > best_total - kEqual && largest > best_largest + kEqual)) {
      best = cut;
      best_total = total;
      best_largest = largest;
    }
  }
  return best;
}

std::array<Areas, 256> AllTriangles() {
  std::array<Areas, 256> all;
  for (int code = 1; code < 255; ++code) {
    for (const Polygon& polygon : Polygons(code)) {
      const Areas triangles = Triangles(polygon);
      Areas& of_code = all[static_cast<size_t>(code)];
      of_code.insert(of_code.end(), triangles.begin(), triangles.end());
    }
  }
  return all;
}

}  // namespace

std::array<double, 256> SurfaceAreas(const Spacing3& spacing) {
  static const std::array<Areas, 256> kTriangles = AllTriangles();
  std::array<double, 256> areas = {};
  for (size_t code = 0; code < 256; ++code)
    for (const Point& area : kTriangles[code]) areas[code] += Size(area, spacing);
  return areas;
}

std::array<double, 16> ContourLengths(double first, double second) {
  const double diagonal = 0.5 * std::sqrt(first * first + second * second);
  std::array<double, 16> lengths = {};
  for (unsigned code = 1; code < 15; ++code) {
    const int inside = std::popcount(code);
    if (inside != 2)
      lengths[code] = diagonal;
    else if (code == 0b0110 || code == 0b1001)
      lengths[code] = 2 * diagonal;
    else  // both pixels share their first index (bits 0 and 2, or 1 and 3) or their second
      lengths[code] = code == 0b0101 || code == 0b1010 ? second : first;
  }
  return lengths;
}

}  // namespace orchard::volume
