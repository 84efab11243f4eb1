#include "io/medical/dicom_pixels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "io/medical/dicom_elements.h"
#include "io/medical/dicom_library.h"
#include "io/medical/jpeg2000.h"
#include "io/printable.h"

#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>

namespace orchard::io {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;

bool IsJpeg2000(E_TransferSyntax syntax) {
  return syntax == EXS_JPEG2000LosslessOnly || syntax == EXS_JPEG2000;
}

// `bits` low bits of `value` as a number, with the highest as its sign.
int64_t SignExtend(int64_t value, int bits) {
  const int64_t sign = int64_t{1} << (bits - 1);
  return ((value & ((int64_t{1} << bits) - 1)) ^ sign) - sign;
}

}  // namespace

struct DicomPixels::State {
  std::string where;
  DcmFileFormat format;
  DcmElement* pixels = nullptr;
  E_TransferSyntax syntax = EXS_Unknown;
  int64_t rows = 0, columns = 0, frames = 1;
  int allocated = 16, stored = 16, high = 15;
  bool is_signed = false, monochrome1 = false;
  int64_t padding_low = 1, padding_high = 0;
  Uint32 start_fragment = 0;  // where DCMTK left off, which is of use for the next frame only
  int64_t last_number = -1;

  void ReadFormat();
  void ReadPadding();
  std::vector<int32_t> Decode(int64_t number);
  std::vector<int32_t> DecodeStream(int64_t number);
  std::vector<std::byte> Stream(int64_t number);
};

void DicomPixels::State::ReadFormat() {
  DcmItem& dataset = *format.getDataset();
  const auto integer = [&](const DcmTagKey& tag, int64_t otherwise) {
    return Integer(dataset, tag, otherwise);
  };
  rows = integer(DCM_Rows, 0);
  columns = integer(DCM_Columns, 0);
  frames = std::max<int64_t>(1, integer(DCM_NumberOfFrames, 1));
  allocated = static_cast<int>(integer(DCM_BitsAllocated, 0));
  stored = static_cast<int>(integer(DCM_BitsStored, allocated));
  high = static_cast<int>(integer(DCM_HighBit, stored - 1));
  is_signed = integer(DCM_PixelRepresentation, 0) == 1;
  monochrome1 = Text(dataset, DCM_PhotometricInterpretation) == "MONOCHROME1";
  if (rows < 1 || columns < 1 || rows * columns > kMaxPixels)
    throw DataError(fmt::format("an image of {}x{} pixels", columns, rows), where);
  if (integer(DCM_SamplesPerPixel, 1) != 1) throw DataError("a colour image", where);
  if (allocated != 8 && allocated != 16 && allocated != 32)
    throw DataError(fmt::format("pixels of {} bits", allocated), where + ": BitsAllocated");
  if (stored < 1 || stored > allocated || high < stored - 1 || high >= allocated) {
    throw DataError(
        fmt::format("pixels of {} bits up to bit {} in words of {}", stored, high, allocated),
        where + ": BitsStored, HighBit");
  }
  if (dataset.findAndGetElement(DCM_PixelData, pixels).bad() || !pixels)
    throw DataError("no integer pixels", where + ": PixelData");
}

void DicomPixels::State::ReadPadding() {
  DcmItem& dataset = *format.getDataset();
  const auto value = Number(dataset, DCM_PixelPaddingValue);
  if (!value) return;
  // Written with and without a sign, whatever PixelRepresentation says.
  const auto reading = [&](double number) {
    const auto whole = static_cast<int64_t>(std::clamp(number, -1e15, 1e15));
    return is_signed ? SignExtend(whole, allocated) : whole & ((int64_t{1} << allocated) - 1);
  };
  padding_low = padding_high = reading(*value);
  if (const auto limit = Number(dataset, DCM_PixelPaddingRangeLimit)) {
    padding_low = std::min(padding_low, reading(*limit));
    padding_high = std::max(padding_high, reading(*limit));
  }
}

// The bytes of one encapsulated frame: its fragments, by the offset table where there are several
// frames in more fragments than frames.
std::vector<std::byte> DicomPixels::State::Stream(int64_t number) {
  auto* pixel_data = dynamic_cast<DcmPixelData*>(pixels);
  DcmPixelSequence* sequence = nullptr;
  if (!pixel_data || pixel_data->getEncapsulatedRepresentation(syntax, nullptr, sequence).bad() ||
      !sequence)
    throw DataError("compressed pixels without fragments", where + ": PixelData");
  const auto fragments = static_cast<int64_t>(sequence->card()) - 1;  // the first is the table
  Uint32 first = static_cast<Uint32>(number) + 1, end = first + 1;
  if (frames == 1) {
    first = 1;
    end = static_cast<Uint32>(fragments) + 1;
  } else if (fragments != frames) {
    throw DataError(fmt::format("{} frames in {} fragments", frames, fragments),
                    where + ": PixelData");
  }
  std::vector<std::byte> stream;
  for (Uint32 i = first; i < end; ++i) {
    DcmPixelItem* item = nullptr;
    Uint8* bytes = nullptr;
    if (sequence->getItem(item, i).bad() || !item || item->getUint8Array(bytes).bad() || !bytes)
      throw DataError("a fragment cannot be read", where + ": PixelData");
    const auto* begin = reinterpret_cast<const std::byte*>(bytes);
    stream.insert(stream.end(), begin, begin + item->getLength());
  }
  return stream;
}

std::vector<int32_t> DicomPixels::State::DecodeStream(int64_t number) {
  Jpeg2000Image image = DecodeJpeg2000(Stream(number), rows, columns, where);
  // A signed stream is right whatever the header says. An unsigned one under a signed header holds
  // the two's complement in its bits: real CT files have -2000 as 6192 in 13 bits.
  if (is_signed && !image.is_signed) {
    for (int32_t& value : image.values)
      value = static_cast<int32_t>(SignExtend(value, image.precision));
  }
  return std::move(image.values);
}

std::vector<int32_t> DicomPixels::State::Decode(int64_t number) {
  const auto count = static_cast<size_t>(rows * columns);
  const size_t word = static_cast<size_t>(allocated) / 8;
  Uint32 frame_size = 0;
  DcmItem* dataset = format.getDataset();
  if (pixels->getUncompressedFrameSize(dataset, frame_size).bad() || frame_size < count * word)
    throw DataError("the size of a frame is not that of its pixels", where + ": PixelData");
  if (DcmXfer(syntax).isNotEncapsulated() &&
      static_cast<uint64_t>(pixels->getLength()) < static_cast<uint64_t>(frames) * count * word) {
    throw DataError(fmt::format("pixels are cut short: {} of {} bytes", pixels->getLength(),
                                static_cast<uint64_t>(frames) * count * word),
                    where + ": PixelData");
  }
  std::vector<std::byte> bytes((frame_size + 1) & ~Uint32{1});
  if (number != last_number + 1) start_fragment = 0;
  last_number = number;
  OFString colour;
  const OFCondition status =
      pixels->getUncompressedFrame(dataset, static_cast<Uint32>(number), start_fragment,
                                   bytes.data(), static_cast<Uint32>(bytes.size()), colour);
  if (status.bad()) {
    throw DataError(fmt::format("frame {} cannot be decoded ({}; {})", number + 1,
                                Printable(DcmXfer(syntax).getXferName()), Printable(status.text())),
                    where + ": PixelData");
  }
  // DCMTK turns the bytes of 16-bit words, which leaves longer ones with their halves swapped.
  const bool halves_swapped = syntax == EXS_BigEndianExplicit && word == 4;
  std::vector<int32_t> values(count);
  const int shift = high + 1 - stored;
  const int64_t mask = (int64_t{1} << stored) - 1;
  for (size_t i = 0; i < count; ++i) {
    uint32_t raw = 0;
    std::memcpy(&raw, bytes.data() + i * word, word);
    if (halves_swapped) raw = raw << 16 | raw >> 16;
    const int64_t value = (static_cast<int64_t>(raw) >> shift) & mask;
    const int64_t number_of = is_signed ? SignExtend(value, stored) : value;
    if (number_of > INT32_MAX) throw DataError("a pixel beyond 2147483647", where + ": PixelData");
    values[i] = static_cast<int32_t>(number_of);
  }
  return values;
}

DicomPixels::DicomPixels(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  StartDicomLibrary();
  state_->where = path.string();
  const OFCondition status =
      state_->format.loadFile(path.c_str(), EXS_Unknown, EGL_noChange, 4096, ERM_autoDetect);
  if (status.bad())
    throw DataError(std::string("damaged: ") + Printable(status.text()), state_->where);
  state_->syntax = state_->format.getDataset()->getOriginalXfer();
  state_->ReadFormat();
  state_->ReadPadding();
}

DicomPixels::~DicomPixels() = default;

std::vector<int32_t> DicomPixels::Frame(int64_t number) {
  if (number < 0 || number >= state_->frames)
    throw DataError(fmt::format("frame {} of {}", number + 1, state_->frames), state_->where);
  return IsJpeg2000(state_->syntax) ? state_->DecodeStream(number) : state_->Decode(number);
}

bool DicomPixels::monochrome1() const { return state_->monochrome1; }
int64_t DicomPixels::lowest() const {
  return state_->is_signed ? -(int64_t{1} << (state_->stored - 1)) : 0;
}
int64_t DicomPixels::highest() const {
  return (int64_t{1} << (state_->stored - (state_->is_signed ? 1 : 0))) - 1;
}
std::pair<int64_t, int64_t> DicomPixels::padding() const {
  return {state_->padding_low, state_->padding_high};
}

}  // namespace orchard::io
