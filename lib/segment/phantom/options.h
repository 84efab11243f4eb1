// What `siamese-seg phantom` can be told.
#pragma once

#include <cstdint>
#include <optional>

#include "cli/fields.h"

namespace orchard::segment {

enum class PhantomKind { kEpisodes, kPopulation, kCardiac, kAbdomen };
inline constexpr cli::EnumName<PhantomKind> kPhantomKindNames[] = {
    {"episodes", PhantomKind::kEpisodes},
    {"population", PhantomKind::kPopulation},
    {"cardiac", PhantomKind::kCardiac},
    {"abdomen", PhantomKind::kAbdomen}};
constexpr auto EnumNames(PhantomKind) { return std::span(kPhantomKindNames); }

enum class AbdomenVoxels { kIso, kThick };
inline constexpr cli::EnumName<AbdomenVoxels> kAbdomenVoxelsNames[] = {
    {"iso", AbdomenVoxels::kIso}, {"thick", AbdomenVoxels::kThick}};
constexpr auto EnumNames(AbdomenVoxels) { return std::span(kAbdomenVoxelsNames); }

struct PhantomOptions {
  PhantomKind kind = PhantomKind::kPopulation;
  int64_t n = 64, size = 96;
  std::optional<int64_t> dims;
  AbdomenVoxels voxels = AbdomenVoxels::kIso;
  double noise = -1;
  bool wedge = true;
  bool warp = false, gain = false, gamma = false;
  bool oblique = false;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("kind", kind,
                 "episodes: four shapes alike but for their form; population: organs of six "
                 "families with a border that is partly invisible; cardiac: short-axis slices of "
                 "a heart; abdomen: a CT of five organs");
    f("n", n, "images", cli::Between(1, 100000));
    f("size", size, "voxels of a side; at most 512 in volumes", cli::Between(16, 4096));
    f("dims", dims, "episodes, population: 2 for slices (default), 3 for cubes",
      cli::Between(2, 3));
    f("voxels", voxels, "abdomen: iso, 1.5 mm, or thick, 0.8 x 0.8 x 3 mm");
    f("noise", noise,
      "deviation of the noise (-1: 0.3 for episodes, 0.5 for a population, 0.1 for hearts, 15 HU "
      "for abdomens)",
      cli::AtLeast(-1));
    f("wedge", wedge, "population: hide the border in a random sector of 90 degrees");
    f("warp", warp, "bend every subject by a smooth map of its own");
    f("gain", gain, "multiply every image by 0.8 to 1.25; not the CT of an abdomen");
    f("gamma", gamma, "curve the values of every image by a power of 0.8 to 1.25; not of a CT");
    f("oblique", oblique, "turn the images in space at random");
  }
};

}  // namespace orchard::segment
