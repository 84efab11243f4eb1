#include "siamese-seg/predict_views.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "io/medical/nifti.h"
#include "io/png.h"
#include "segment/correspondence.h"
#include "volume/overlay.h"
#include "volume/resize.h"

namespace orchard::siamese_seg {
namespace {

constexpr int64_t kPixels = 300;      // the longest side of a plane
constexpr size_t kMostPictures = 60;  // on the page of attention

// Values of a prepared image on the turned scan; 0 where it was cut.
std::vector<float> OnTurnedScan(std::span<const float> values, const segment::PreparedImage& image,
                                ThreadPool& pool) {
  using volume::Interpolation;
  const volume::Box& crop = image.frame.crop;
  const volume::Size3 size = crop.size();
  const std::vector<float> inside = volume::Resize(
      values, image.size, size,
      {Interpolation::kLinear, Interpolation::kLinear, Interpolation::kLinear}, pool);
  std::vector<float> whole(static_cast<size_t>(volume::Voxels(image.frame.whole)), 0);
  size_t at = 0;
  for (int64_t k = crop.lo[2]; k < crop.hi[2]; ++k)
    for (int64_t j = crop.lo[1]; j < crop.hi[1]; ++j)
      for (int64_t i = crop.lo[0]; i < crop.hi[0]; ++i, ++at)
        whole[static_cast<size_t>(volume::IndexOf(image.frame.whole, i, j, k))] = inside[at];
  return whole;
}

}  // namespace

template <class T>
io::Volume OnOriginalGrid(std::span<const T> values, const segment::CaseFrame& frame) {
  const io::DType type = sizeof(T) == 1 ? io::DType::kU8 : io::DType::kF32;
  io::Volume turned = io::MakeVolume(io::Reorient(frame.original, frame.canonical), type);
  std::copy(values.begin(), values.end(), turned.Elements<T>().begin());
  io::Volume volume = io::Reorient(turned, io::Inverse(frame.canonical));
  volume.grid = frame.original;  // to the bit
  return volume;
}

template io::Volume OnOriginalGrid(std::span<const uint8_t>, const segment::CaseFrame&);
template io::Volume OnOriginalGrid(std::span<const float>, const segment::CaseFrame&);

PredictionViews::PredictionViews(const segment::PredictOptions& options,
                                 const cli::Context& context,
                                 const segment::SegmentationModel& model,
                                 const std::vector<segment::LabelName>& labels,
                                 segment::Predictor& predictor, ThreadPool& pool)
    : options_(options),
      context_(context),
      model_(model),
      predictor_(predictor),
      pool_(pool),
      plan_(model.network->plan()) {
  plan_.labels = labels;
}

void PredictionViews::Add(const segment::PreparedImage& image, std::span<const size_t> templates,
                          const io::Volume& labels, const std::string& id) {
  if (!options_.qc && !options_.correspondences) return;
  segment::PreparedCase c{.id = id, .subject = id, .image = image};
  c.labels = segment::PrepareLabels(labels, image, plan_, id, pool_);
  segment::IndexCase(c, plan_.classes());
  if (options_.qc) AddQuality(c);
  if (options_.correspondences) AddAttention(c, templates);
}

void PredictionViews::AddQuality(const segment::PreparedCase& c) {
  segment::AssessedCase assessed;
  assessed.quality =
      segment::AssessQuality(*model_.network, model_.bank, options_.infer, options_.quality, c,
                             static_cast<uint64_t>(context_.common.seed), pool_);
  assessed.picture = io::EncodePng(segment::DrawDisagreement(c, assessed.quality, plan_, kPixels));
  const std::filesystem::path& out = *context_.common.out;
  WriteFileAtomically(out / (c.id + "_qc.json"),
                      segment::QualityJson(assessed.quality, plan_.labels).dump(2) + "\n");
  std::error_code error;  // shown by the write
  std::filesystem::create_directories(out / "qc", error);
  const std::vector<float> map = OnTurnedScan(assessed.quality.disagreement, c.image, pool_);
  io::WriteNifti(out / "qc" / (c.id + "_disagreement.nii.gz"),
                 OnOriginalGrid(std::span<const float>(map), c.image.frame),
                 {.threads = context_.common.Threads()});
  assessed_.push_back(std::move(assessed));
}

void PredictionViews::AddAttention(const segment::PreparedCase& c,
                                   std::span<const size_t> templates) {
  segment::AttentionView view(predictor_, *model_.network, model_.bank, c.image, templates,
                              c.labels);
  segment::WriteCorrespondences(*context_.common.out / (c.id + "_correspondence.h5"), view.Find(),
                                c.image, plan_);
  const std::vector<uint16_t> labels(c.labels.begin(), c.labels.end());
  for (const segment::LabelName& l : plan_.labels) {
    if (!c.Has(l.value) || attention_.size() >= kMostPictures) continue;
    attention_.push_back(
        {c.id, l.name, view.Draw(volume::CenterOf(labels, c.image.size, l.value), kPixels)});
  }
}

void PredictionViews::Finish() {
  const std::filesystem::path out = *context_.common.out;
  if (!assessed_.empty()) {
    WriteFileAtomically(
        out / "qc.html",
        segment::QualityReport(assessed_, plan_.labels, options_.quality, std::ssize(assessed_))
            .Html());
    WriteFileAtomically(out / "qc.csv", segment::QualityCsv(assessed_, plan_.labels));
  }
  if (attention_.empty()) return;
  run::Report report("Which part of a template answered", "siamese-seg predict");
  report.AddParagraph(
      "Above: the image through the middle of a predicted structure, with the prediction outlined. "
      "Below: the template that answered most for that voxel, through the place where it attended "
      "most, with the template's own labels outlined; the warmer, the more of the answer came from "
      "there. Axial, coronal and sagittal planes; the patient's right is on the left.");
  std::string section;
  for (const Picture& p : attention_) {
    if (p.id != section) report.AddSection(p.id);
    section = p.id;
    report.AddPicture(p.png, "image/png", "Attention of the middle of " + p.label, p.label);
  }
  WriteFileAtomically(out / "attention.html", report.Html());
}

}  // namespace orchard::siamese_seg
