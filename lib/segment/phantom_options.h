// What `siamese-seg phantom` can be told.
#pragma once

#include <cstdint>

#include "cli/fields.h"

namespace orchard::segment {

enum class PhantomKind { kEpisodes, kPopulation };
inline constexpr cli::EnumName<PhantomKind> kPhantomKindNames[] = {
    {"episodes", PhantomKind::kEpisodes}, {"population", PhantomKind::kPopulation}};
constexpr auto EnumNames(PhantomKind) { return std::span(kPhantomKindNames); }

struct PhantomOptions {
  PhantomKind kind = PhantomKind::kPopulation;
  int64_t n = 64, size = 96;
  double noise = -1;
  bool wedge = true;
  bool oblique = false;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("kind", kind,
                 "episodes: four shapes alike but for their form; population: organs of six "
                 "families with a border that is partly invisible");
    f("n", n, "images", cli::Between(1, 100000));
    f("size", size, "voxels of a side", cli::Between(16, 4096));
    f("noise", noise, "deviation of the noise (-1: 0.3 for episodes, 0.5 for a population)",
      cli::AtLeast(-1));
    f("wedge", wedge, "population: hide the border in a random sector of 90 degrees");
    f("oblique", oblique, "turn the slices in space at random");
  }
};

}  // namespace orchard::segment
