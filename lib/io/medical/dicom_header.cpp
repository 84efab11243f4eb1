// Reading what a file says about its images: one header per file, or, in enhanced multi-frame
// files, functional groups that all frames share or each frame has for itself (PS3.3, C.7.6.16).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <fstream>
#include <system_error>

#include "base/error.h"
#include "base/hash.h"
#include "io/mapped_file.h"
#include "io/medical/dicom_elements.h"
#include "io/medical/dicom_frame.h"
#include "io/medical/dicom_library.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

constexpr const char* kSegmentation = "a segmentation";
constexpr int64_t kMaxFrames = 1 << 20;
// More pixels per byte of a file than any image that is not all one value: beyond, a header lies,
// and no memory is taken for it.
constexpr uint64_t kMaxPixelsPerByte = 4096;
constexpr const char* kLabelMapSegmentationStorage = "1.2.840.10008.5.1.4.1.1.66.7";

// A UID for a file that has none: equal files get equal ones.
std::string DeriveUid(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string digits = Sha256Hex(file.bytes());
  // 2.25 takes a 128-bit number; 60 bits in decimal are as unique as needed and need no big
  // integer.
  return "2.25." + std::to_string(std::stoull(digits.substr(0, 15), nullptr, 16));
}

std::string NameOfClass(const std::string& uid) {
  if (uid.empty()) return "an object without a SOP class";
  const char* name = dcmFindNameOfUID(uid.c_str());
  return name ? name : "an object of class " + Printable(uid);
}

// Where an attribute of a frame stands: in its own functional groups, in the shared ones, or, in
// ordinary files, in the dataset itself.
class FrameGroups {
 public:
  FrameGroups(DcmItem& dataset, DcmItem* shared, DcmItem* own)
      : dataset_(dataset), shared_(shared), own_(own) {}

  // The item that holds the attributes of functional group `group`.
  DcmItem* Group(const DcmTagKey& group) const {
    if (own_)
      if (DcmItem* item = Item(*own_, group)) return item;
    if (shared_)
      if (DcmItem* item = Item(*shared_, group)) return item;
    return own_ || shared_ ? nullptr : &dataset_;
  }

 private:
  DcmItem& dataset_;
  DcmItem *shared_, *own_;
};

std::string TextIn(DcmItem* item, const DcmTagKey& tag) {
  return item ? Ascii(WholeText(*item, tag)) : "";
}

// Reads the place; an empty string, or why there is none.
std::string ReadPlace(const FrameGroups& groups, DicomFrame& frame) {
  DcmItem* position = groups.Group(DCM_PlanePositionSequence);
  DcmItem* orientation = groups.Group(DCM_PlaneOrientationSequence);
  DcmItem* measures = groups.Group(DCM_PixelMeasuresSequence);
  if (!position || !Numbers(*position, DCM_ImagePositionPatient, frame.position.data(), 3))
    return "no ImagePositionPatient";
  std::array<double, 6> cosines{};
  if (!orientation || !Numbers(*orientation, DCM_ImageOrientationPatient, cosines.data(), 6))
    return "no ImageOrientationPatient";
  frame.along_row = {cosines[0], cosines[1], cosines[2]};
  frame.along_column = {cosines[3], cosines[4], cosines[5]};
  const double row_length = Norm(frame.along_row), column_length = Norm(frame.along_column);
  if (!(std::abs(row_length - 1) < 1e-2) || !(std::abs(column_length - 1) < 1e-2) ||
      !(std::abs(Dot(frame.along_row, frame.along_column)) < 1e-2))
    return "an ImageOrientationPatient that is no pair of directions";
  // Directions are stored in few digits: make them unit and orthogonal again.
  for (double& x : frame.along_row) x /= row_length;
  const double skew = Dot(frame.along_row, frame.along_column);
  for (size_t i = 0; i < 3; ++i) frame.along_column[i] -= skew * frame.along_row[i];
  const double length = Norm(frame.along_column);
  for (double& x : frame.along_column) x /= length;
  if (!measures || !Numbers(*measures, DCM_PixelSpacing, frame.spacing.data(), 2))
    return "no PixelSpacing";
  for (double spacing : frame.spacing)
    if (!(spacing > 0)) return "a PixelSpacing that is not positive";
  // Distances nobody has: no arithmetic on them overflows.
  const auto plausible = [](double mm) { return std::abs(mm) < 1e7; };
  if (!std::all_of(frame.position.begin(), frame.position.end(), plausible) ||
      !std::all_of(frame.spacing.begin(), frame.spacing.end(), plausible))
    return "a place beyond ten kilometres";
  frame.slice_thickness = Number(*measures, DCM_SliceThickness).value_or(0);
  frame.spacing_between_slices = std::abs(Number(*measures, DCM_SpacingBetweenSlices).value_or(0));
  return "";
}

void ReadRescale(const FrameGroups& groups, DicomFrame& frame) {
  DcmItem* rescale = groups.Group(DCM_PixelValueTransformationSequence);
  if (!rescale) return;
  frame.slope = Number(*rescale, DCM_RescaleSlope).value_or(1);
  frame.intercept = Number(*rescale, DCM_RescaleIntercept).value_or(0);
  if (frame.slope == 0) {
    frame.slope = 1;
    frame.warnings.push_back("RescaleSlope is 0: taken as 1");
  }
}

// In the order of kVariantNames.
std::vector<std::string> ReadVariant(DcmItem& dataset, const FrameGroups& groups, bool enhanced) {
  if (!enhanced) {
    return {"",
            TextIn(&dataset, DCM_AcquisitionNumber),
            TextIn(&dataset, DCM_TemporalPositionIdentifier),
            TextIn(&dataset, DCM_EchoTime),
            TextIn(&dataset, DCM_DiffusionBValue),
            TextIn(&dataset, DCM_ImageType)};
  }
  DcmItem* content = groups.Group(DCM_FrameContentSequence);
  return {TextIn(content, DCM_StackID),
          TextIn(content, DCM_FrameAcquisitionNumber),
          TextIn(content, DCM_TemporalPositionIndex),
          TextIn(groups.Group(DCM_MREchoSequence), DCM_EffectiveEchoTime),
          TextIn(groups.Group(DCM_MRDiffusionSequence), DCM_DiffusionBValue),
          ""};
}

// What all frames of a file have in common; an empty string, or why it holds no image.
std::string ReadCommon(DcmFileFormat& format, const std::filesystem::path& path, DicomKind wanted,
                       DicomFrame& common) {
  DcmDataset& dataset = *format.getDataset();
  common.file = path;
  common.sop_class_uid = Ascii(Text(dataset, DCM_SOPClassUID));
  common.sop_instance_uid = Ascii(Text(dataset, DCM_SOPInstanceUID));
  if (DcmMetaInfo* meta = format.getMetaInfo()) {
    if (common.sop_class_uid.empty())
      common.sop_class_uid = Ascii(Text(*meta, DCM_MediaStorageSOPClassUID));
    if (common.sop_instance_uid.empty())
      common.sop_instance_uid = Ascii(Text(*meta, DCM_MediaStorageSOPInstanceUID));
  }
  common.rows = Integer(dataset, DCM_Rows, 0);
  common.columns = Integer(dataset, DCM_Columns, 0);
  if (common.rows < 1 || common.columns < 1 || common.rows > 65535 || common.columns > 65535)
    return NameOfClass(common.sop_class_uid) + ": no image";
  const bool segmentation = common.sop_class_uid == UID_SegmentationStorage ||
                            common.sop_class_uid == kLabelMapSegmentationStorage;
  if (segmentation != (wanted == DicomKind::kSegmentation))
    return segmentation ? kSegmentation : "an image, no segmentation";
  if (Number(dataset, DCM_SamplesPerPixel).value_or(1) != 1) return "a colour image";
  const std::string photometric = Text(dataset, DCM_PhotometricInterpretation);
  if (photometric != "MONOCHROME2" && photometric != "MONOCHROME1" && !photometric.empty())
    return "an image in " + Printable(photometric);
  if (common.sop_instance_uid.empty()) {
    common.sop_instance_uid = DeriveUid(path);
    common.uid_derived = true;
  }
  common.study_uid = Ascii(Text(dataset, DCM_StudyInstanceUID));
  common.series_uid = Ascii(Text(dataset, DCM_SeriesInstanceUID));
  common.frame_of_reference_uid = Ascii(Text(dataset, DCM_FrameOfReferenceUID));
  common.modality = Ascii(Text(dataset, DCM_Modality));
  common.series_description = Ascii(Text(dataset, DCM_SeriesDescription));
  common.image_type = Ascii(WholeText(dataset, DCM_ImageType));
  common.transfer_syntax_uid = DcmXfer(dataset.getOriginalXfer()).getXferID();
  common.series_number = Integer(dataset, DCM_SeriesNumber, 0);
  common.instance_number = Integer(dataset, DCM_InstanceNumber, 0);
  if (Text(dataset, DCM_LossyImageCompression) == "01")
    common.warnings.push_back("the pixels were compressed with loss");
  return "";
}

// Fills result.frames; an empty string, or why not.
std::string ReadFrames(DcmItem& dataset, const DicomFrame& common,
                       std::vector<DicomFrame>& frames) {
  const double count = Number(dataset, DCM_NumberOfFrames).value_or(1);
  if (!(count >= 1) || count > static_cast<double>(kMaxFrames))
    return fmt::format("an image of {:g} frames", count);
  std::error_code error;
  const auto bytes = static_cast<uint64_t>(std::filesystem::file_size(common.file, error));
  const uint64_t pixels =
      static_cast<uint64_t>(common.rows) * static_cast<uint64_t>(common.columns);
  if (error ||
      static_cast<double>(pixels) * count > 65536 + static_cast<double>(bytes) * kMaxPixelsPerByte)
    return fmt::format("{:g} frames of {}x{} pixels in a file of {} bytes", count, common.columns,
                       common.rows, bytes);
  DcmItem* shared = Item(dataset, DCM_SharedFunctionalGroupsSequence);
  DcmSequenceOfItems* per_frame = nullptr;
  dataset.findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, per_frame);
  const bool enhanced = shared || per_frame;
  const auto of = static_cast<int64_t>(count);
  if (!enhanced && of > 1) return fmt::format("{} frames without a place for each", of);
  if (enhanced && per_frame && static_cast<int64_t>(per_frame->card()) != of)
    return fmt::format("{} frames and {} descriptions of frames", of, per_frame->card());
  if (enhanced && !per_frame && of > 1)
    return fmt::format("{} frames without a place for each", of);
  for (int64_t i = 0; i < of; ++i) {
    DicomFrame frame = common;
    frame.number = i;
    frame.of = of;
    DcmItem* own = per_frame ? per_frame->getItem(static_cast<unsigned long>(i)) : nullptr;
    const FrameGroups groups(dataset, shared, own);
    if (std::string why = ReadPlace(groups, frame); !why.empty()) return why;
    ReadRescale(groups, frame);
    frame.variant = ReadVariant(dataset, groups, enhanced);
    if (DcmItem* segment = groups.Group(DCM_SegmentIdentificationSequence))
      frame.segment = Integer(*segment, DCM_ReferencedSegmentNumber, 0);
    frames.push_back(std::move(frame));
  }
  return "";
}

}  // namespace

bool LooksLikeDicom(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 132> head{};
  file.read(head.data(), head.size());
  const std::string_view text(head.data(), static_cast<size_t>(file.gcount()));
  if (text.size() == 132 && text.substr(128) == "DICM") return true;
  if (text.size() < 16) return false;
  // An element (0002,00xx) or (0008,00xx), its value 64 kB at most, little- or big-endian.
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const bool little = (byte(0) == 2 || byte(0) == 8) && byte(1) == 0 && byte(3) == 0;
  const bool big = byte(0) == 0 && (byte(1) == 2 || byte(1) == 8) && byte(2) == 0;
  const bool explicit_vr = std::isupper(byte(4)) && std::isupper(byte(5));
  const bool implicit_vr = little && byte(6) == 0 && byte(7) == 0;
  return (little || big) && (explicit_vr || implicit_vr);
}

DicomFile ReadDicomFile(const std::filesystem::path& path, DicomKind wanted) {
  DicomFile result;
  result.skipped.file = path;
  const auto skip = [&](SkipReason reason, std::string why) {
    result.frames.clear();
    result.skipped.reason = reason;
    result.skipped.why = std::move(why);
  };
  if (!LooksLikeDicom(path)) {
    skip(SkipReason::kNotDicom, "not DICOM");
    return result;
  }
  StartDicomLibrary();
  DcmFileFormat format;
  // Long values stay in the file, and reading ends before the pixels.
  const OFCondition status = format.loadFileUntilTag(path.c_str(), EXS_Unknown, EGL_noChange, 4096,
                                                     ERM_autoDetect, DcmTagKey(0x7FE0, 0x0000));
  if (status.bad()) {
    skip(SkipReason::kDamaged, std::string("damaged: ") + Printable(status.text()));
    return result;
  }
  DicomFrame common;
  std::string why = ReadCommon(format, path, wanted, common);
  if (why.empty()) why = ReadFrames(*format.getDataset(), common, result.frames);
  if (!why.empty())
    skip(why == kSegmentation ? SkipReason::kSegmentation : SkipReason::kNoImage, why);
  return result;
}

}  // namespace orchard::io
