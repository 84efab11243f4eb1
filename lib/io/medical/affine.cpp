#include "io/medical/affine.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/medical/orientation.h"

namespace orchard::io {

double Norm(const Vec3& a) { return std::sqrt(Dot(a, a)); }

Affine Affine::FromColumns(const Vec3& i, const Vec3& j, const Vec3& k, const Vec3& origin) {
  Affine affine;
  for (size_t row = 0; row < 3; ++row) affine.m[row] = {i[row], j[row], k[row], origin[row]};
  return affine;
}

Vec3 Affine::operator()(const Vec3& index) const {
  Vec3 p;
  for (size_t row = 0; row < 3; ++row)
    p[row] = m[row][0] * index[0] + m[row][1] * index[1] + m[row][2] * index[2] + m[row][3];
  return p;
}

Vec3 Affine::Column(int axis) const {
  const auto a = static_cast<size_t>(axis);
  return {m[0][a], m[1][a], m[2][a]};
}

Vec3 Affine::Spacing() const { return {Norm(Column(0)), Norm(Column(1)), Norm(Column(2))}; }

double Affine::Determinant() const { return Dot(Column(0), Cross(Column(1), Column(2))); }

bool Affine::Finite() const {
  for (const auto& row : m)
    for (double value : row)
      if (!std::isfinite(value)) return false;
  return true;
}

bool Affine::Singular() const {
  const Vec3 spacing = Spacing();
  const double volume = spacing[0] * spacing[1] * spacing[2];
  return !Finite() || !(std::abs(Determinant()) > 1e-6 * volume);
}

double Affine::Shear() const {
  const Vec3 spacing = Spacing();
  double most = 0;
  for (int a = 0; a < 3; ++a) {
    for (int b = a + 1; b < 3; ++b) {
      const double lengths = spacing[static_cast<size_t>(a)] * spacing[static_cast<size_t>(b)];
      if (lengths > 0) most = std::max(most, std::abs(Dot(Column(a), Column(b))) / lengths);
    }
  }
  return most;
}

Affine Affine::Inverse() const {
  if (Singular()) throw DataError("the affine cannot be inverted", "", "check spacing and axes");
  const double determinant = Determinant();
  const Vec3 rows[] = {Cross(Column(1), Column(2)), Cross(Column(2), Column(0)),
                       Cross(Column(0), Column(1))};
  Affine inverse;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t c = 0; c < 3; ++c) inverse.m[row][c] = rows[row][c] / determinant;
    inverse.m[row][3] = -Dot(rows[row], Origin()) / determinant;
  }
  return inverse;
}

Affine Affine::operator*(const Affine& first) const {
  Affine product;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t c = 0; c < 4; ++c) {
      product.m[row][c] = m[row][0] * first.m[0][c] + m[row][1] * first.m[1][c] +
                          m[row][2] * first.m[2][c] + (c == 3 ? m[row][3] : 0);
    }
  }
  return product;
}

std::string OrientationCode(const Affine& affine) {
  const AxisMap map = ClosestCanonical(affine);
  std::string code(3, ' ');
  for (size_t world = 0; world < 3; ++world)
    code[static_cast<size_t>(map.axis[world])] = "RASLPI"[world + (map.flip[world] ? 3 : 0)];
  return code;
}

}  // namespace orchard::io
