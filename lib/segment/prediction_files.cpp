#include "segment/prediction_files.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/atomic_file.h"
#include "io/hdf5.h"
#include "io/png.h"
#include "segment/picture.h"

namespace orchard::segment {
namespace {

// Pictures of equal width below each other.
io::Image Stack(const std::vector<io::Image>& images) {
  io::Image all;
  for (const io::Image& image : images) {
    all.width = image.width;
    all.channels = image.channels;
    all.height += image.height;
    all.pixels.insert(all.pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  return all;
}

}  // namespace

void WriteProbabilities(const std::filesystem::path& path, const std::vector<io::Volume>& classes,
                        const std::vector<LabelName>& labels) {
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.SetAttribute("/", "format", std::string("orchard-probabilities"));
  file.SetAttribute("/", "version", int64_t{1});
  const io::Grid& grid = classes.front().grid;
  std::vector<float> all;
  for (const io::Volume& c : classes) {
    const auto values = c.Elements<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  file.Write<float>("probabilities", all,
                    {std::ssize(classes), grid.size[2], grid.size[1], grid.size[0]}, {.gzip = 1});
  std::vector<std::string> names = {"background"};
  for (const LabelName& label : labels) names.push_back(label.name);
  file.WriteStrings("labels", names);
  std::vector<double> affine;
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 4; ++column)
      affine.push_back(row < 3 ? grid.affine.m[row][column] : column == 3 ? 1 : 0);
  file.SetAttribute("probabilities", "affine", affine);
  const io::Vec3 spacing = grid.affine.Spacing();
  file.SetAttribute("probabilities", "spacing",
                    std::vector<double>(spacing.begin(), spacing.end()));
  file.Finish();
}

void WriteOverlay(const std::filesystem::path& path, io::Volume image, const io::Volume& labels,
                  const std::vector<LabelName>& names) {
  const auto values = labels.Elements<uint8_t>();
  std::map<int64_t, std::string> named;
  for (const LabelName& label : names) named[label.value] = label.name;
  const Picture picture(std::move(image),
                        LabelMap{labels.grid, std::vector<uint16_t>(values.begin(), values.end())},
                        std::nullopt, ViewOptions{}, std::move(named));
  std::vector<io::Image> rows;
  for (const int64_t label : picture.Labels()) rows.push_back(picture.Through(label));
  if (rows.empty()) rows.push_back(picture.Through(0));
  AtomicFile file(path);
  file.Write(io::EncodePng(Stack(rows)));
  file.Commit();
}

}  // namespace orchard::segment
