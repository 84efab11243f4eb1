// Small labelled volumes for tests: two blobs of different size in noise, at a place of their own.
#pragma once

#include <cmath>
#include <string>

#include "data/random_stream.h"
#include "segment/prepared_case.h"

namespace orchard::testing {

// A bright ball of label 1 and a dark one of label 2.
inline segment::PreparedCase MakeCase(const std::string& id, const volume::Size3& size,
                                      uint64_t seed, const std::string& subject = "") {
  data::RandomStream random(seed, "made case", 0);
  segment::PreparedCase c{.id = id, .subject = subject.empty() ? id : subject};
  c.image.size = size;
  c.image.channels = 1;
  std::array<std::array<double, 3>, 2> centre{};
  for (size_t b = 0; b < 2; ++b) {
    for (size_t a = 0; a < 3; ++a) {
      const double at = a == 0 ? (b == 0 ? 0.3 : 0.7) : 0.5;
      centre[b][a] = static_cast<double>(size[a]) * (at + 0.1 * (random.Uniform() - 0.5));
    }
  }
  const double radius =
      0.2 * static_cast<double>(std::min({size[0], size[1], std::max<int64_t>(size[2], 8)}));
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      for (int64_t i = 0; i < size[0]; ++i) {
        const double p[3] = {static_cast<double>(i), static_cast<double>(j),
                             static_cast<double>(k)};
        uint8_t label = 0;
        for (size_t b = 0; b < 2; ++b) {
          double squares = 0;
          for (size_t a = 0; a < (size[2] == 1 ? 2u : 3u); ++a)
            squares += (p[a] - centre[b][a]) * (p[a] - centre[b][a]);
          if (squares < radius * radius) label = static_cast<uint8_t>(b + 1);
        }
        const double signal = label == 1 ? 2.0 : label == 2 ? -2.0 : 0.0;
        c.image.values.push_back(static_cast<float>(signal + 0.3 * random.Normal()));
        c.labels.push_back(label);
      }
    }
  }
  c.image.body = {{0, 0, 0}, size};
  c.image.frame.whole = size;
  c.image.frame.crop = {{0, 0, 0}, size};
  c.image.frame.spacing = {1, 1, 1};
  segment::IndexCase(c, 2);
  return c;
}

// A plan of two or three stages for patches of `patch`.
inline segment::Plan MakePlan(const volume::Size3& patch, int64_t stages = 3,
                              int64_t channels = 8) {
  segment::Plan plan;
  plan.dataset = "made";
  plan.dims = patch[2] == 1 ? 2 : 3;
  plan.channels = {{.name = "image"}};
  plan.labels = {{1, "bright"}, {2, "dark"}};
  plan.patch = patch;
  for (int64_t s = 0; s < stages; ++s) {
    segment::Stage stage{.channels = channels << s};
    for (size_t a = 0; a < 3; ++a) {
      const bool flat = patch[a] == 1;
      stage.kernel[a] = flat ? 1 : 3;
      stage.stride[a] = s > 0 && !flat ? 2 : 1;
    }
    plan.stages.push_back(stage);
  }
  return plan;
}

}  // namespace orchard::testing
