// What phantoms of all kinds are painted on: a textured background, bodies with soft edges, and
// then noise and a scanner's brightness.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "data/random_stream.h"
#include "segment/phantom/phantom.h"
#include "segment/phantom/warp.h"

namespace orchard::segment {

inline double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

class Canvas {
 public:
  static constexpr double kEdge = 0.7;     // softness, voxels
  static constexpr double kTexture = 0.2;  // deviation

  // Fills `image` with noise that is smoothed by an eighth of the side.
  Canvas(const volume::Size3& size, const volume::Spacing3& spacing, const PhantomLook& look,
         uint64_t seed, uint64_t subject, data::RandomStream& random);

  // The side of axis i, and how soft edges are; mm.
  double side() const { return static_cast<double>(size_[0]) * spacing_[0]; }
  double edge() const { return kEdge * spacing_[0]; }

  // Calls visit(v, p) for every voxel: p in mm from the first corner, warped.
  template <class Visit>
  void ForEach(const Visit& visit) const {
    size_t v = 0;
    for (int64_t k = 0; k < size_[2]; ++k) {
      for (int64_t j = 0; j < size_[1]; ++j) {
        for (int64_t i = 0; i < size_[0]; ++i, ++v) {
          io::Vec3 p = {(static_cast<double>(i) + 0.5) * spacing_[0],
                        (static_cast<double>(j) + 0.5) * spacing_[1],
                        (static_cast<double>(k) + 0.5) * spacing_[2]};
          if (warp_) {
            const io::Vec3 move = (*warp_)(v);
            for (size_t a = 0; a < 3; ++a) p[a] += move[a];
          }
          visit(v, p);
        }
      }
    }
  }

  // A body over what is there: inside(p), mm, is how deep p lies in it; value(v) what it is filled
  // with.
  template <class Inside, class Value>
  void PaintWith(uint8_t label, const Value& value, const Inside& inside) {
    ForEach([&](size_t v, const io::Vec3& p) {
      const double depth = inside(p);
      image[v] += Logistic(depth / edge()) * (value(v) - image[v]);
      if (depth > 0) labels[v] = label;
    });
  }
  template <class Inside>
  void Paint(uint8_t label, double value, const Inside& inside) {
    PaintWith(
        label, [&](size_t) { return value; }, inside);
  }

  // With noise, gamma and gain.
  Phantom Finish(data::RandomStream& random) &&;

  std::vector<double> image;    // [K, J, I]
  std::vector<uint8_t> labels;  // [K, J, I]

 private:
  volume::Size3 size_;
  volume::Spacing3 spacing_;
  PhantomLook look_;
  uint64_t seed_, subject_;
  std::optional<Warp> warp_;
};

}  // namespace orchard::segment
