#include "segment/picture.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/medical/nifti.h"
#include "io/medical/orientation.h"

namespace orchard::segment {
namespace {

std::vector<uint16_t> Turned(LabelMap map, const io::Grid& source, const io::Grid& canonical,
                             const char* which) {
  // Label maps may differ from the image in the order of axes; both end on canonical ones.
  return OnGrid(OnGrid(std::move(map), source, which), canonical, which).labels;
}

}  // namespace

Picture::Picture(const std::optional<std::filesystem::path>& image,
                 std::optional<LabelMap> outlined, std::optional<LabelMap> filled,
                 const ViewOptions& view, std::map<int64_t, std::string> names) {
  if (!image && !outlined && !filled)
    throw UsageError("neither an image nor labels to show", "picture");
  io::Volume volume = image    ? io::ReadNifti(*image).volume
                      : filled ? io::MakeVolume(filled->grid, io::DType::kU8)
                               : io::MakeVolume(outlined->grid, io::DType::kU8);
  Fill(std::move(volume), std::move(outlined), std::move(filled), view, std::move(names));
}

Picture::Picture(io::Volume image, std::optional<LabelMap> outlined, std::optional<LabelMap> filled,
                 const ViewOptions& view, std::map<int64_t, std::string> names) {
  Fill(std::move(image), std::move(outlined), std::move(filled), view, std::move(names));
}

void Picture::Fill(io::Volume volume, std::optional<LabelMap> outlined,
                   std::optional<LabelMap> filled, const ViewOptions& view,
                   std::map<int64_t, std::string> names) {
  const io::AxisMap turn = io::ClosestCanonical(volume.grid.affine);
  const io::Grid source = volume.grid;
  volume = io::Reorient(volume, turn);
  grid_ = volume.grid;
  axis_ = turn.axis;
  flip_ = turn.flip;
  values_ = io::RealValues(volume);
  if (outlined) outlined_ = Turned(std::move(*outlined), source, grid_, "the outlined label map");
  if (filled) filled_ = Turned(std::move(*filled), source, grid_, "the filled label map");
  if (view.level.has_value() != view.width.has_value())
    throw UsageError("--level and --width go together", "picture");
  args_.size = grid_.size;
  args_.spacing = grid_.affine.Spacing();
  args_.pixels = view.pixels;
  args_.names = std::move(names);
  args_.window =
      view.level ? volume::Window{*view.level, *view.width} : volume::ChooseWindow(values_);
}

io::Image Picture::Draw(const volume::Size3& canonical) const {
  volume::OverlayArgs args = args_;
  args.image = values_.data();
  args.outlined = outlined_.empty() ? nullptr : outlined_.data();
  args.filled = filled_.empty() ? nullptr : filled_.data();
  return volume::DrawPlanes(args, canonical);
}

io::Image Picture::Through(int64_t label) const {
  const bool in_filled = std::any_of(filled_.begin(), filled_.end(),
                                     [&](uint16_t v) { return label == 0 ? v != 0 : v == label; });
  const std::vector<uint16_t>& labels = in_filled ? filled_ : outlined_;
  if (labels.empty()) return Draw({grid_.size[0] / 2, grid_.size[1] / 2, grid_.size[2] / 2});
  return Draw(volume::CenterOf(labels, grid_.size, label));
}

io::Image Picture::At(const volume::Size3& voxel) const {
  volume::Size3 canonical;
  for (size_t a = 0; a < 3; ++a) {
    const int64_t index = voxel[static_cast<size_t>(axis_[a])];
    if (index < 0 || index >= grid_.size[a])
      throw UsageError("the voxel lies outside the image", "--at");
    canonical[a] = flip_[a] ? grid_.size[a] - 1 - index : index;
  }
  return Draw(canonical);
}

std::vector<int64_t> Picture::Labels() const {
  std::vector<int64_t> labels = volume::LabelsIn(outlined_), more = volume::LabelsIn(filled_), all;
  std::set_union(labels.begin(), labels.end(), more.begin(), more.end(), std::back_inserter(all));
  return all;
}

}  // namespace orchard::segment
