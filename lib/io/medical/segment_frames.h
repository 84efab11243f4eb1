// A label map cut into the frames of a DICOM segmentation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/medical/segmentation.h"

namespace orchard::io {

struct SegmentFrame {
  size_t segment = 0;  // index into segments; of label maps 0
  size_t image = 0;    // index into reference.frames
};

// What a segmentation will hold, free of DICOM's elements.
struct SegmentFrames {
  int64_t rows = 0, columns = 0;
  std::vector<Segment> segments;     // by label; all described
  std::vector<uint16_t> labels;      // [images][rows][columns], on the pixels of the source
  std::vector<SegmentFrame> frames;  // in the order of the file
};

// Throws DataError as WriteSegmentation does; `where` names the label map.
SegmentFrames CutIntoFrames(const Volume& labels, const DicomSeries& reference,
                            const SegmentationOptions& options, const std::string& where);

}  // namespace orchard::io
