// What predict writes besides label maps: quality without a reference, and which part of a template
// answered.
#pragma once

#include <string>
#include <vector>

#include "cli/program.h"
#include "segment/model_directory.h"
#include "segment/predictor.h"
#include "segment/quality_report.h"

namespace orchard::siamese_seg {

class PredictionViews {
 public:
  // All outlive it.
  PredictionViews(const segment::PredictOptions& options, const cli::Context& context,
                  const segment::SegmentationModel& model,
                  const std::vector<segment::LabelName>& labels, segment::Predictor& predictor,
                  ThreadPool& pool);

  // Of one scan: its prepared image, what was chosen, and the label map on the scan's grid. Writes
  // OUT/ID_qc.json and OUT/qc/ID_disagreement.nii.gz, and OUT/ID_correspondence.h5.
  void Add(const segment::PreparedImage& image, std::span<const size_t> templates,
           const io::Volume& labels, const std::string& id);

  // OUT/qc.html, OUT/qc.csv and OUT/attention.html of the scans of this call.
  void Finish();

 private:
  void AddQuality(const segment::PreparedCase& c);
  void AddAttention(const segment::PreparedCase& c, std::span<const size_t> templates);

  const segment::PredictOptions& options_;
  const cli::Context& context_;
  const segment::SegmentationModel& model_;
  segment::Predictor& predictor_;
  ThreadPool& pool_;
  segment::Plan plan_;  // with the labels of this call
  std::vector<segment::AssessedCase> assessed_;
  struct Picture {
    std::string id, label;
    std::vector<std::byte> png;
  };
  std::vector<Picture> attention_;
};

// Values on the turned scan (frame.whole) as a volume on the scan's own grid.
template <class T>
io::Volume OnOriginalGrid(std::span<const T> values, const segment::CaseFrame& frame);

}  // namespace orchard::siamese_seg
