// What `siamese-seg evaluate` and `siamese-seg render` can be told.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "volume/metrics.h"

namespace orchard::volume {

inline constexpr cli::EnumName<SurfaceKind> kSurfaceKindNames[] = {{"surfel", SurfaceKind::kSurfel},
                                                                   {"voxel", SurfaceKind::kVoxel}};
constexpr auto EnumNames(SurfaceKind) { return std::span(kSurfaceKindNames); }

inline constexpr cli::EnumName<Compatibility> kCompatibilityNames[] = {
    {"none", Compatibility::kNone},
    {"deepmind", Compatibility::kDeepmind},
    {"medpy", Compatibility::kMedpy}};
constexpr auto EnumNames(Compatibility) { return std::span(kCompatibilityNames); }

}  // namespace orchard::volume

namespace orchard::segment {

// How an image is shown under labels.
struct ViewOptions {
  std::optional<double> level, width;  // of the grey window; both or neither
  int64_t pixels = 320;

  void Fields(cli::FieldVisitor& f) {
    f("level", level, "image value shown as middle grey; default: from the image");
    f("width", width, "range of image values from black to white", cli::Positive());
    f("pixels", pixels, "longest side of a plane in the picture", cli::Between(32, 4096));
  }
};

struct EvaluateOptions {
  std::filesystem::path pred, ref;
  std::optional<std::filesystem::path> images;
  std::vector<int64_t> labels;
  std::vector<std::string> regions, names;
  std::vector<double> tolerances = {1};
  volume::SurfaceKind surface = volume::SurfaceKind::kSurfel;
  volume::Compatibility compat = volume::Compatibility::kNone;
  bool distances = true;
  int64_t worst = 6;
  int64_t resamples = 2000;
  std::string shard = "1/1";
  std::filesystem::path cases;
  ViewOptions view;

  void Fields(cli::FieldVisitor& f) {
    f("pred", pred, "folder of predicted label maps, or one file", cli::Required());
    f("ref", ref, "folder of reference label maps, or one file", cli::Required());
    f("images", images, "folder of the images, for pictures of the worst cases");
    f("labels", labels, "label values to evaluate; default: those of the references");
    f("regions", regions, "joined labels: whole=1+2,core=2");
    f("names", names, "names of labels in tables and pictures: 1=anterior,2=posterior");
    f("tolerances", tolerances, "millimetres within which the NSD counts a surface",
      cli::AtLeast(0));
    f("surface", surface, "what a surface is made of: pieces between voxels, or voxels");
    f("compat", compat, "conventions of another package");
    f("distances", distances, "surface distances, besides overlap and volumes");
    f("worst", worst, "cases with pictures in the report, the worst first", cli::AtLeast(0));
    f("resamples", resamples, "bootstrap samples of the confidence intervals", cli::AtLeast(100));
    f("shard", shard, "only every n-th case, from the i-th on: i/n, with --cases");
    f("cases", cases, "folder where results of cases are kept and found again");
    f.Section("view", view);
  }
};

struct RenderOptions {
  std::filesystem::path image, output;
  std::optional<std::filesystem::path> labels, reference;
  std::vector<std::string> names;
  std::vector<int64_t> at;
  ViewOptions view;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("image", image, "image, a NIfTI file");
    f.Positional("output", output, "picture (.png), or a page with every class (.html)");
    f("labels", labels, "label map to outline");
    f("reference", reference, "label map to fill, e.g. of an expert");
    f("names", names, "names of labels: 1=anterior,2=posterior");
    f("at", at, "voxel i,j,k of the image through which to cut; default: the middle of the labels",
      cli::AtLeast(0));
    f.Section("view", view);
  }
};

}  // namespace orchard::segment
