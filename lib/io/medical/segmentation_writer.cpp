#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>
#include <span>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/version.h"
#include "io/medical/bit_packing.h"
#include "io/medical/dicom_elements.h"
#include "io/medical/dicom_library.h"
#include "io/medical/dicom_uid.h"
#include "io/medical/segment_frames.h"

namespace orchard::io {
namespace {

constexpr const char* kLabelMapStorage = "1.2.840.10008.5.1.4.1.1.66.7";

void Put(DcmItem& item, const DcmTagKey& tag, const std::string& value) {
  if (item.putAndInsertString(tag, value.c_str()).bad())
    throw Error(ExitCode::kInternal, "DCMTK refuses an element", DcmTag(tag).getTagName());
}
void PutShort(DcmItem& item, const DcmTagKey& tag, int64_t value) {
  item.putAndInsertUint16(tag, static_cast<Uint16>(value));
}
// Decimal strings have 16 characters at most.
std::string Decimal(double value) { return fmt::format("{:.10g}", value); }
template <class Values>
std::string Decimals(const Values& values) {
  std::string text;
  for (double value : values) text += (text.empty() ? "" : "\\") + Decimal(value);
  return text;
}

// A new item at the end of a sequence.
DcmItem& Append(DcmItem& parent, const DcmTagKey& sequence) {
  DcmItem* item = nullptr;
  if (parent.findOrCreateSequenceItem(sequence, item, -2).bad() || !item)
    throw Error(ExitCode::kInternal, "DCMTK refuses a sequence", DcmTag(sequence).getTagName());
  return *item;
}

void PutCode(DcmItem& parent, const DcmTagKey& sequence, const DicomCode& code) {
  DcmItem& item = Append(parent, sequence);
  Put(item, DCM_CodeValue, code.value);
  Put(item, DCM_CodingSchemeDesignator, code.scheme);
  Put(item, DCM_CodeMeaning, code.meaning);
}

// sRGB to CIE L*a*b* under D50, scaled to 16 bits as PS3.3, C.10.7.1.1 has it.
std::array<Uint16, 3> CieLab(const std::array<uint8_t, 3>& rgb) {
  std::array<double, 3> linear{};
  for (size_t i = 0; i < 3; ++i) {
    const double c = rgb[i] / 255.0;
    linear[i] = c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
  }
  // sRGB primaries adapted to D50 (Bradford), relative to its white point.
  const auto [r, g, b] = linear;
  const std::array<double, 3> xyz = {(0.4360747 * r + 0.3850649 * g + 0.1430804 * b) / 0.96422,
                                     0.2225045 * r + 0.7168786 * g + 0.0606169 * b,
                                     (0.0139322 * r + 0.0971045 * g + 0.7141733 * b) / 0.82521};
  std::array<double, 3> f{};
  for (size_t i = 0; i < 3; ++i)
    f[i] = xyz[i] > 216.0 / 24389 ? std::cbrt(xyz[i]) : (24389.0 / 27 * xyz[i] + 16) / 116;
  const auto scale = [](double value, double low, double range) {
    return static_cast<Uint16>(std::lround(std::clamp((value - low) / range, 0.0, 1.0) * 65535));
  };
  return {scale(116 * f[1] - 16, 0, 100), scale(500 * (f[0] - f[1]), -128, 255),
          scale(200 * (f[1] - f[2]), -128, 255)};
}

// Colours far apart for neighbouring labels: hues by the golden angle.
std::array<uint8_t, 3> ColourOf(const Segment& segment) {
  if (segment.rgb != std::array<uint8_t, 3>{}) return segment.rgb;
  const double hue = std::fmod(static_cast<double>(segment.label) * 137.508, 360) / 60;
  const double second = 1 - std::abs(std::fmod(hue, 2) - 1);
  constexpr int kOrder[6][3] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}};
  const double parts[] = {1, second, 0};
  std::array<uint8_t, 3> rgb{};
  for (size_t i = 0; i < 3; ++i) {
    const double part = parts[kOrder[static_cast<int>(hue)][i]];
    rgb[i] = static_cast<uint8_t>(std::lround(55 + 200 * part));
  }
  return rgb;
}

class Writer {
 public:
  Writer(const SegmentFrames& frames, const DicomSeries& reference,
         const SegmentationOptions& options)
      : frames_(frames), reference_(reference), options_(options), uids_(MakeUids()) {}

  void Write(const std::filesystem::path& path);

 private:
  bool label_map() const { return options_.kind == SegmentationKind::kLabelMap; }
  UidMaker MakeUids() const;
  void CopyPatientAndStudy();
  void PutSeries();
  void PutImage();
  void PutSegments();
  void PutDimensions();
  void PutSharedGroups();
  void PutFrame(const SegmentFrame& frame, const std::vector<size_t>& place_of_image);
  void PutReferences();
  void PutPixels();

  const SegmentFrames& frames_;
  const DicomSeries& reference_;
  const SegmentationOptions& options_;
  UidMaker uids_;
  DcmFileFormat format_;
  DcmDataset& data_ = *format_.getDataset();
};

UidMaker Writer::MakeUids() const {
  if (!options_.deterministic) return UidMaker();
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(frames_.labels)));
  for (const DicomFrame& frame : reference_.frames)
    hash.Update(std::as_bytes(std::span(frame.sop_instance_uid)));
  for (const Segment& segment : frames_.segments)
    hash.Update(std::as_bytes(std::span(segment.name)));
  const std::string kind = label_map() ? "label map" : "binary";
  hash.Update(std::as_bytes(std::span(kind)));
  return UidMaker(hash.Hex());
}

// The modules that tie the object to patient, study and space, element by element as they are.
void Writer::CopyPatientAndStudy() {
  DcmFileFormat source;
  if (source
          .loadFileUntilTag(reference_.first().file.c_str(), EXS_Unknown, EGL_noChange, 4096,
                            ERM_autoDetect, DcmTagKey(0x7FE0, 0x0000))
          .bad())
    throw DataError("the file cannot be read again", reference_.first().file.string());
  constexpr unsigned kElements[][2] = {
      {0x0008, 0x0005}, {0x0008, 0x0020}, {0x0008, 0x0030}, {0x0008, 0x0050}, {0x0008, 0x0090},
      {0x0008, 0x1030}, {0x0010, 0x0010}, {0x0010, 0x0020}, {0x0010, 0x0030}, {0x0010, 0x0040},
      {0x0010, 0x1010}, {0x0010, 0x1020}, {0x0010, 0x1030}, {0x0020, 0x000D}, {0x0020, 0x0010},
      {0x0020, 0x0052}, {0x0020, 0x1040}};
  // Type 2: there, if empty.
  const std::set<unsigned> required = {0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00100010,
                                       0x00100020, 0x00100030, 0x00100040, 0x00200010, 0x00201040};
  for (const auto& [group, element] : kElements) {
    const DcmTagKey tag(static_cast<Uint16>(group), static_cast<Uint16>(element));
    DcmElement* found = nullptr;
    source.getDataset()->findAndGetElement(tag, found, OFFalse, OFTrue);
    if (found && data_.insert(found, OFTrue).good()) continue;
    delete found;
    if (required.contains(group << 16 | element)) data_.insertEmptyElement(tag);
  }
  if (Text(data_, DCM_StudyInstanceUID).empty()) Put(data_, DCM_StudyInstanceUID, uids_.Next());
  if (Text(data_, DCM_FrameOfReferenceUID).empty())
    Put(data_, DCM_FrameOfReferenceUID, uids_.Next());
}

void Writer::PutSeries() {
  Put(data_, DCM_SOPClassUID, label_map() ? kLabelMapStorage : UID_SegmentationStorage);
  Put(data_, DCM_SOPInstanceUID, uids_.Next());
  Put(data_, DCM_Modality, "SEG");
  Put(data_, DCM_SeriesInstanceUID, uids_.Next());
  Put(data_, DCM_SeriesNumber, std::to_string(reference_.first().series_number + 1000));
  Put(data_, DCM_SeriesDescription, options_.description);
  Put(data_, DCM_Manufacturer, "Orchard");
  Put(data_, DCM_ManufacturerModelName, options_.algorithm);
  Put(data_, DCM_DeviceSerialNumber, "0");
  Put(data_, DCM_SoftwareVersions, BuildVersions().orchard);
  Put(data_, DCM_InstanceNumber, "1");
  std::string date = Text(data_, DCM_StudyDate), time = Text(data_, DCM_StudyTime);
  if (!options_.deterministic || date.empty()) {
    const std::time_t now = options_.deterministic ? 0 : std::time(nullptr);
    std::tm fields{};
    localtime_r(&now, &fields);
    char text[16];
    date.assign(text, std::strftime(text, sizeof text, "%Y%m%d", &fields));
    time.assign(text, std::strftime(text, sizeof text, "%H%M%S", &fields));
  }
  if (time.empty()) time = "000000";
  for (const DcmTagKey& tag : {DCM_ContentDate, DCM_SeriesDate}) Put(data_, tag, date);
  for (const DcmTagKey& tag : {DCM_ContentTime, DCM_SeriesTime}) Put(data_, tag, time);
  Put(data_, DCM_ContentLabel, "SEGMENTATION");
  Put(data_, DCM_ContentDescription, options_.description);
  data_.insertEmptyElement(DCM_ContentCreatorName);
}

void Writer::PutImage() {
  const bool deep = frames_.segments.back().label > 255;
  const int64_t bits = !label_map() ? 1 : deep ? 16 : 8;
  Put(data_, DCM_ImageType, "DERIVED\\PRIMARY");
  PutShort(data_, DCM_SamplesPerPixel, 1);
  Put(data_, DCM_PhotometricInterpretation, "MONOCHROME2");
  Put(data_, DCM_NumberOfFrames, std::to_string(frames_.frames.size()));
  PutShort(data_, DCM_Rows, frames_.rows);
  PutShort(data_, DCM_Columns, frames_.columns);
  PutShort(data_, DCM_BitsAllocated, bits);
  PutShort(data_, DCM_BitsStored, bits);
  PutShort(data_, DCM_HighBit, bits - 1);
  PutShort(data_, DCM_PixelRepresentation, 0);
  Put(data_, DCM_LossyImageCompression, "00");
  if (label_map()) PutShort(data_, DCM_PixelPaddingValue, 0);
  Put(data_, DCM_SegmentationType, label_map() ? "LABELMAP" : "BINARY");
  Put(data_, DCM_SegmentsOverlap, "NO");
}

void Writer::PutSegments() {
  for (size_t i = 0; i < frames_.segments.size(); ++i) {
    const Segment& segment = frames_.segments[i];
    const int64_t number = label_map() ? segment.label : static_cast<int64_t>(i) + 1;
    DcmItem& item = Append(data_, DCM_SegmentSequence);
    PutShort(item, DCM_SegmentNumber, number);
    Put(item, DCM_SegmentLabel, segment.name.substr(0, 64));
    if (number != segment.label)
      Put(item, DCM_SegmentDescription, fmt::format("label value {}", segment.label));
    Put(item, DCM_SegmentAlgorithmType, "AUTOMATIC");
    Put(item, DCM_SegmentAlgorithmName, options_.algorithm);
    PutCode(item, DCM_SegmentedPropertyCategoryCodeSequence, segment.category);
    PutCode(item, DCM_SegmentedPropertyTypeCodeSequence, segment.type);
    const std::array<Uint16, 3> lab = CieLab(ColourOf(segment));
    item.putAndInsertUint16Array(DCM_RecommendedDisplayCIELabValue, lab.data(), 3);
  }
}

void Writer::PutDimensions() {
  const std::string organization = uids_.Next();
  Put(Append(data_, DCM_DimensionOrganizationSequence), DCM_DimensionOrganizationUID, organization);
  const auto add = [&](const DcmTagKey& pointer, const DcmTagKey& group, const char* label) {
    DcmItem& item = Append(data_, DCM_DimensionIndexSequence);
    Put(item, DCM_DimensionOrganizationUID, organization);
    item.putAndInsertTagKey(DCM_DimensionIndexPointer, pointer);
    item.putAndInsertTagKey(DCM_FunctionalGroupPointer, group);
    Put(item, DCM_DimensionDescriptionLabel, label);
  };
  if (!label_map())
    add(DCM_ReferencedSegmentNumber, DCM_SegmentIdentificationSequence, "Segment Number");
  add(DCM_ImagePositionPatient, DCM_PlanePositionSequence, "Image Position");
}

void Writer::PutSharedGroups() {
  const DicomFrame& first = reference_.first();
  DcmItem& shared = Append(data_, DCM_SharedFunctionalGroupsSequence);
  DcmItem& measures = Append(shared, DCM_PixelMeasuresSequence);
  const Vec3 step = reference_.grid.affine.Column(2);
  const Vec3 normal = Cross(first.along_row, first.along_column);
  const double spacing = std::abs(Dot({-step[0], -step[1], step[2]}, normal));
  Put(measures, DCM_PixelSpacing, Decimals(first.spacing));
  Put(measures, DCM_SliceThickness,
      Decimal(first.slice_thickness > 0 ? first.slice_thickness : spacing));
  if (reference_.uniform) Put(measures, DCM_SpacingBetweenSlices, Decimal(spacing));
  std::array<double, 6> cosines{};
  std::copy(first.along_row.begin(), first.along_row.end(), cosines.begin());
  std::copy(first.along_column.begin(), first.along_column.end(), cosines.begin() + 3);
  Put(Append(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient, Decimals(cosines));
}

// What the source image is called where an object refers to it; files without a class get that of
// their modality.
std::string ClassOf(const DicomFrame& frame) {
  if (!frame.sop_class_uid.empty()) return frame.sop_class_uid;
  return frame.modality == "CT"   ? UID_CTImageStorage
         : frame.modality == "MR" ? UID_MRImageStorage
                                  : UID_SecondaryCaptureImageStorage;
}

void Writer::PutFrame(const SegmentFrame& frame, const std::vector<size_t>& place_of_image) {
  const DicomFrame& image = reference_.frames[frame.image];
  DcmItem& groups = Append(data_, DCM_PerFrameFunctionalGroupsSequence);
  DcmItem& derivation = Append(groups, DCM_DerivationImageSequence);
  PutCode(derivation, DCM_DerivationCodeSequence, {"113076", "DCM", "Segmentation"});
  DcmItem& source = Append(derivation, DCM_SourceImageSequence);
  Put(source, DCM_ReferencedSOPClassUID, ClassOf(image));
  Put(source, DCM_ReferencedSOPInstanceUID, image.sop_instance_uid);
  if (image.of > 1) Put(source, DCM_ReferencedFrameNumber, std::to_string(image.number + 1));
  Put(source, DCM_SpatialLocationsPreserved, "YES");
  PutCode(source, DCM_PurposeOfReferenceCodeSequence,
          {"121322", "DCM", "Source image for image processing operation"});
  DcmItem& content = Append(groups, DCM_FrameContentSequence);
  std::vector<Uint32> index = {static_cast<Uint32>(place_of_image[frame.image])};
  if (!label_map()) index.insert(index.begin(), static_cast<Uint32>(frame.segment + 1));
  content.putAndInsertUint32Array(DCM_DimensionIndexValues, index.data(), index.size());
  Put(Append(groups, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
      Decimals(image.position));
  if (!label_map())
    PutShort(Append(groups, DCM_SegmentIdentificationSequence), DCM_ReferencedSegmentNumber,
             static_cast<int64_t>(frame.segment) + 1);
}

void Writer::PutReferences() {
  DcmItem& series = Append(data_, DCM_ReferencedSeriesSequence);
  const std::string& uid = reference_.first().series_uid;
  Put(series, DCM_SeriesInstanceUID, uid.empty() ? uids_.Next() : uid);
  std::set<std::string> listed;
  for (const DicomFrame& frame : reference_.frames) {
    if (!listed.insert(frame.sop_instance_uid).second) continue;
    DcmItem& instance = Append(series, DCM_ReferencedInstanceSequence);
    Put(instance, DCM_ReferencedSOPClassUID, ClassOf(frame));
    Put(instance, DCM_ReferencedSOPInstanceUID, frame.sop_instance_uid);
  }
}

void Writer::PutPixels() {
  const auto pixels = static_cast<size_t>(frames_.rows * frames_.columns);
  const auto labels_of = [&](const SegmentFrame& frame) {
    return std::span(frames_.labels).subspan(frame.image * pixels, pixels);
  };
  if (label_map() && frames_.segments.back().label > 255) {
    data_.putAndInsertUint16Array(DCM_PixelData, frames_.labels.data(), frames_.labels.size());
    return;
  }
  std::vector<uint8_t> bytes;
  if (label_map()) {
    bytes.assign(frames_.labels.begin(), frames_.labels.end());
    if (bytes.size() % 2) bytes.push_back(0);
  } else {
    BitPacker packer;
    packer.Reserve(frames_.frames.size() * pixels);
    for (const SegmentFrame& frame : frames_.frames) {
      const int64_t label = frames_.segments[frame.segment].label;
      for (uint16_t value : labels_of(frame)) packer.Push(value == label);
    }
    bytes = std::move(packer).Take();
  }
  if (bytes.size() > 0xFFFFFFFEu)
    throw ImpossibleError("more pixels than one DICOM object holds (4 GB)");
  data_.putAndInsertUint8Array(DCM_PixelData, bytes.data(), bytes.size());
}

void Writer::Write(const std::filesystem::path& path) {
  CopyPatientAndStudy();
  PutSeries();
  PutImage();
  PutSegments();
  PutDimensions();
  PutSharedGroups();
  // Position numbers count the images that have a frame, along the normal.
  std::vector<size_t> place_of_image(reference_.frames.size());
  for (const SegmentFrame& frame : frames_.frames) place_of_image[frame.image] = 1;
  size_t place = 0;
  for (size_t& number : place_of_image)
    if (number) number = ++place;
  for (const SegmentFrame& frame : frames_.frames) PutFrame(frame, place_of_image);
  PutReferences();
  PutPixels();

  const std::filesystem::path partial = path.string() + ".partial";
  const OFCondition status =
      format_.saveFile(partial.c_str(), EXS_LittleEndianExplicit, EET_ExplicitLength, EGL_recalcGL);
  const int descriptor = status.good() ? ::open(partial.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  if (descriptor >= 0) ::close(descriptor);
  std::error_code error;
  if (synced) std::filesystem::rename(partial, path, error);
  if (!synced || error) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw ResourceError(
        std::string("cannot write: ") + (error ? error.message() : std::string(status.text())),
        path.string());
  }
  SyncDirectory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

}  // namespace

void WriteSegmentation(const std::filesystem::path& path, const Volume& labels,
                       const DicomSeries& reference, const SegmentationOptions& options) {
  StartDicomLibrary();
  if (!reference.problem.empty())
    throw DataError(reference.problem, reference.first().file.parent_path().string());
  const SegmentFrames frames = CutIntoFrames(labels, reference, options, "label map");
  Writer(frames, reference, options).Write(path);
}

}  // namespace orchard::io
