// Affine maps from voxel indices to millimetres in space.
#pragma once

#include <array>
#include <string>

namespace orchard::io {

using Vec3 = std::array<double, 3>;

constexpr double Dot(const Vec3& a, const Vec3& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
constexpr Vec3 Cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
constexpr Vec3 Minus(const Vec3& a, const Vec3& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}
double Norm(const Vec3& a);

// p = R * index + t. Everywhere in Orchard index (0, 0, 0) is the centre of the first voxel and p
// is in RAS: millimetres to the patient's right, anterior and superior. NIfTI says the same; DICOM
// counts to the left and posterior instead (x and y change their sign).
struct Affine {
  std::array<std::array<double, 4>, 3> m = {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};  // [R | t]

  // The map with the given steps per index and the position of index (0, 0, 0).
  static Affine FromColumns(const Vec3& i, const Vec3& j, const Vec3& k, const Vec3& origin);

  Vec3 operator()(const Vec3& index) const;
  Vec3 Column(int axis) const;  // the step to the next index along `axis`, in mm
  Vec3 Origin() const { return {m[0][3], m[1][3], m[2][3]}; }
  Vec3 Spacing() const;        // lengths of the three steps, in mm
  double Determinant() const;  // of R; negative: index axes are left-handed
  bool Finite() const;
  // Whether R cannot be inverted: a step is zero, or three steps lie (nearly) in a plane.
  bool Singular() const;
  // The largest |cosine| between two steps; 0 when they are orthogonal. A CT with a tilted gantry
  // has tan(tilt) / sqrt(1 + tan^2(tilt)).
  double Shear() const;

  Affine Inverse() const;                       // throws DataError when singular
  Affine operator*(const Affine& first) const;  // *this after `first`
  bool operator==(const Affine&) const = default;
};

// Three letters, e.g. "RAS": where index i, j and k grow to, by the nearest axes of the patient.
// Oblique maps get the closest letters.
std::string OrientationCode(const Affine& affine);

}  // namespace orchard::io
