#include "unit/medical/dicom_maker.h"

#include <dcmtk/config/osconfig.h>
// DCMTK's configuration comes before its other headers.
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dcrlerp.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djencode.h>
#include <dcmtk/dcmjpeg/djrplol.h>
#include <dcmtk/dcmjpls/djencode.h>
#include <dcmtk/dcmjpls/djrparam.h>
#include <fmt/format.h>
#include <openjpeg.h>

#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

#include "io/medical/dicom_library.h"

namespace orchard::io {
namespace {

void Check(const OFCondition& status, const char* what) {
  if (status.bad()) throw std::runtime_error(std::string(what) + ": " + status.text());
}

void RegisterEncoders() {
  static const bool ready = [] {
    StartDicomLibrary();
    DcmRLEEncoderRegistration::registerCodecs();
    DJEncoderRegistration::registerCodecs();
    DJLSEncoderRegistration::registerCodecs();
    return true;
  }();
  (void)ready;
}

struct Encoding {
  E_TransferSyntax syntax;
  const DcmRepresentationParameter* parameter = nullptr;
};

Encoding FindEncoding(const std::string& name) {
  static const DcmRLERepresentationParameter rle;
  static const DJ_RPLossless jpeg;
  static const DJLSRepresentationParameter jpeg_ls(2, OFTrue);
  static const std::map<std::string, Encoding> encodings = {
      {"implicit", {EXS_LittleEndianImplicit}},
      {"explicit", {EXS_LittleEndianExplicit}},
      {"big-endian", {EXS_BigEndianExplicit}},
      {"deflated", {EXS_DeflatedLittleEndianExplicit}},
      {"rle", {EXS_RLELossless, &rle}},
      {"jpeg", {EXS_JPEGProcess14SV1, &jpeg}},
      {"jpeg-ls", {EXS_JPEGLSLossless, &jpeg_ls}},
      {"jpeg2000", {EXS_JPEG2000LosslessOnly}}};
  return encodings.at(name);
}

struct Output {
  std::vector<uint8_t> bytes;
  size_t at = 0;
};

void PutFragment(DcmDataset& data, std::vector<uint8_t> stream) {
  if (stream.size() % 2) stream.push_back(0);
  auto* sequence = new DcmPixelSequence(DCM_PixelSequenceTag);
  sequence->insert(new DcmPixelItem(DCM_PixelItemTag));  // an empty offset table
  auto* item = new DcmPixelItem(DCM_PixelItemTag);
  Check(item->putUint8Array(stream.data(), static_cast<Uint32>(stream.size())), "fragment");
  sequence->insert(item);
  auto* pixels = new DcmPixelData(DCM_PixelData);
  pixels->putOriginalRepresentation(EXS_JPEG2000LosslessOnly, nullptr, sequence);
  Check(data.insert(pixels, OFTrue), "pixels");
}

}  // namespace

std::vector<uint8_t> EncodeJpeg2000(const std::vector<int32_t>& values, int64_t rows,
                                    int64_t columns, int precision, bool is_signed) {
  opj_image_cmptparm_t component{};
  component.dx = component.dy = 1;
  component.w = static_cast<OPJ_UINT32>(columns);
  component.h = static_cast<OPJ_UINT32>(rows);
  component.prec = static_cast<OPJ_UINT32>(precision);
  component.sgnd = is_signed;
  opj_image_t* image = opj_image_create(1, &component, OPJ_CLRSPC_GRAY);
  image->x1 = component.w;
  image->y1 = component.h;
  std::copy(values.begin(), values.end(), image->comps[0].data);
  opj_cparameters_t parameters;
  opj_set_default_encoder_parameters(&parameters);
  parameters.numresolution = 1;
  parameters.tcp_numlayers = 1;
  parameters.cp_disto_alloc = 1;
  opj_codec_t* codec = opj_create_compress(OPJ_CODEC_J2K);
  opj_setup_encoder(codec, &parameters, image);
  Output output;
  opj_stream_t* stream = opj_stream_create(1 << 16, OPJ_FALSE);
  opj_stream_set_user_data(stream, &output, nullptr);
  opj_stream_set_write_function(stream, [](void* data, OPJ_SIZE_T size, void* user) {
    auto& out = *static_cast<Output*>(user);
    out.bytes.resize(std::max(out.bytes.size(), out.at + size));
    std::memcpy(out.bytes.data() + out.at, data, size);
    out.at += size;
    return size;
  });
  opj_stream_set_seek_function(stream, [](OPJ_OFF_T at, void* user) -> OPJ_BOOL {
    static_cast<Output*>(user)->at = static_cast<size_t>(at);
    return OPJ_TRUE;
  });
  opj_stream_set_skip_function(stream, [](OPJ_OFF_T size, void* user) -> OPJ_OFF_T {
    static_cast<Output*>(user)->at += static_cast<size_t>(size);
    return size;
  });
  const bool good = opj_start_compress(codec, image, stream) && opj_encode(codec, stream) &&
                    opj_end_compress(codec, stream);
  opj_stream_destroy(stream);
  opj_destroy_codec(codec);
  opj_image_destroy(image);
  if (!good) throw std::runtime_error("OpenJPEG does not encode");
  return output.bytes;
}

void DicomMaker::Write(const std::filesystem::path& path, const std::string& encoding,
                       bool preamble) const {
  RegisterEncoders();
  DcmFileFormat format;
  DcmDataset& data = *format.getDataset();
  const auto put = [&](const DcmTagKey& tag, const std::string& value) {
    Check(data.putAndInsertString(tag, value.c_str()), "element");
  };
  const auto put_short = [&](const DcmTagKey& tag, int64_t value) {
    Check(data.putAndInsertUint16(tag, static_cast<Uint16>(value)), "element");
  };
  put(DCM_SOPClassUID, modality == "CT" ? UID_CTImageStorage : UID_MRImageStorage);
  put(DCM_SOPInstanceUID, uid);
  put(DCM_StudyInstanceUID, "1.2");
  put(DCM_SeriesInstanceUID, series_uid);
  put(DCM_FrameOfReferenceUID, "1.2.9");
  put(DCM_Modality, modality);
  put(DCM_SeriesDescription, description);
  put(DCM_PatientName, "Nobody");
  put(DCM_PatientID, "N1");
  put(DCM_ImagePositionPatient, fmt::format("{}\\{}\\{}", position[0], position[1], position[2]));
  put(DCM_ImageOrientationPatient, orientation);
  put(DCM_PixelSpacing, spacing);
  put(DCM_SliceThickness, "5");
  put_short(DCM_SamplesPerPixel, 1);
  put(DCM_PhotometricInterpretation, photometric);
  put_short(DCM_Rows, rows);
  put_short(DCM_Columns, columns);
  put_short(DCM_BitsAllocated, 16);
  put_short(DCM_BitsStored, stored);
  put_short(DCM_HighBit, high);
  put_short(DCM_PixelRepresentation, is_signed);
  const Encoding target = FindEncoding(encoding);
  if (encoding == "jpeg2000") {
    std::vector<int32_t> values;
    for (uint16_t word : words) values.push_back(is_signed ? static_cast<int16_t>(word) : word);
    PutFragment(data, EncodeJpeg2000(values, rows, columns, stored, is_signed));
  } else {
    Check(data.putAndInsertUint16Array(DCM_PixelData, words.data(), words.size()), "pixels");
  }
  change(data);
  if (encoding != "jpeg2000")
    Check(data.chooseRepresentation(target.syntax, target.parameter), encoding.c_str());
  Check(format.saveFile(path.c_str(), target.syntax, EET_UndefinedLength, EGL_recalcGL,
                        EPD_noChange, 0, 0, preamble ? EWM_fileformat : EWM_dataset),
        "save");
}

void WriteEnhanced(const std::filesystem::path& path, const std::string& encoding) {
  DicomMaker maker;
  maker.words.clear();
  const double heights[] = {0, -2, 4};
  for (uint16_t frame = 0; frame < 3; ++frame)
    for (uint16_t pixel = 0; pixel < 12; ++pixel)
      maker.words.push_back(static_cast<uint16_t>(10 * frame + pixel));
  maker.change = [&](DcmDataset& data) {
    data.putAndInsertString(DCM_SOPClassUID, UID_EnhancedMRImageStorage);
    data.putAndInsertString(DCM_NumberOfFrames, "3");
    for (const DcmTagKey& tag :
         {DCM_ImagePositionPatient, DCM_ImageOrientationPatient, DCM_PixelSpacing})
      data.findAndDeleteElement(tag);
    DcmItem *shared = nullptr, *item = nullptr;
    data.findOrCreateSequenceItem(DCM_SharedFunctionalGroupsSequence, shared, -2);
    shared->findOrCreateSequenceItem(DCM_PlaneOrientationSequence, item, -2);
    item->putAndInsertString(DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
    shared->findOrCreateSequenceItem(DCM_PixelMeasuresSequence, item, -2);
    item->putAndInsertString(DCM_PixelSpacing, "0.5\\0.25");
    for (int frame = 0; frame < 3; ++frame) {
      DcmItem* own = nullptr;
      data.findOrCreateSequenceItem(DCM_PerFrameFunctionalGroupsSequence, own, -2);
      own->findOrCreateSequenceItem(DCM_PlanePositionSequence, item, -2);
      item->putAndInsertString(DCM_ImagePositionPatient,
                               fmt::format("0\\0\\{}", heights[frame]).c_str());
      own->findOrCreateSequenceItem(DCM_PixelValueTransformationSequence, item, -2);
      item->putAndInsertString(DCM_RescaleSlope, "2");
      item->putAndInsertString(DCM_RescaleIntercept, std::to_string(100 * frame).c_str());
    }
  };
  maker.Write(path, encoding);
}

}  // namespace orchard::io
