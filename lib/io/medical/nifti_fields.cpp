#include "io/medical/nifti_fields.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace orchard::io {
namespace {

static_assert(std::endian::native == std::endian::little);

// Offsets and types of nifti1.h and nifti2.h; what is not named here has no meaning today.
struct Version1 {
  static constexpr int kVersion = 1;
  using Size = int16_t;
  using Real = float;
  using Offset = float;  // in version 1 even the place of the voxels is a float
  using Code = int16_t;
  using Units = uint8_t;
  static constexpr size_t kBytes = kNifti1HeaderBytes, kDim = 40, kIntentParameters = 56,
                          kIntentCode = 68, kDatatype = 70, kBitpix = 72, kPixdim = 76,
                          kVoxOffset = 108, kSlope = 112, kIntercept = 116, kUnits = 123,
                          kCalMax = 124, kCalMin = 128, kDescrip = 148, kQformCode = 252,
                          kSformCode = 254, kQuatern = 256, kQoffset = 268, kSrow = 280,
                          kIntentName = 328, kMagic = 344;
};

struct Version2 {
  static constexpr int kVersion = 2;
  using Size = int64_t;
  using Real = double;
  using Offset = int64_t;
  using Code = int32_t;
  using Units = int32_t;
  static constexpr size_t kBytes = kNifti2HeaderBytes, kMagic = 4, kDatatype = 12, kBitpix = 14,
                          kDim = 16, kIntentParameters = 80, kPixdim = 104, kVoxOffset = 168,
                          kSlope = 176, kIntercept = 184, kCalMax = 192, kCalMin = 200,
                          kDescrip = 240, kQformCode = 344, kSformCode = 348, kQuatern = 352,
                          kQoffset = 376, kSrow = 400, kUnits = 500, kIntentCode = 504,
                          kIntentName = 508;
};

// Shows `visit` every field of a header with its place and its type in the file.
template <class V, class Header, class Visitor>
void EachField(Header& h, Visitor& visit) {
  using Real = typename V::Real;
  using Code = typename V::Code;
  visit.template Numbers<typename V::Size>(V::kDim, h.dim);
  visit.template Numbers<Real>(V::kIntentParameters, h.intent_p);
  visit.template Number<Code>(V::kIntentCode, h.intent_code);
  visit.template Number<int16_t>(V::kDatatype, h.datatype);
  visit.template Number<int16_t>(V::kBitpix, h.bitpix);
  visit.template Numbers<Real>(V::kPixdim, h.pixdim);
  visit.template Number<typename V::Offset>(V::kVoxOffset, h.vox_offset);
  visit.template Number<Real>(V::kSlope, h.scl_slope);
  visit.template Number<Real>(V::kIntercept, h.scl_inter);
  visit.template Number<typename V::Units>(V::kUnits, h.xyzt_units);
  visit.template Number<Real>(V::kCalMax, h.cal_max);
  visit.template Number<Real>(V::kCalMin, h.cal_min);
  visit.Text(V::kDescrip, 80, h.descrip);
  visit.template Number<Code>(V::kQformCode, h.qform_code);
  visit.template Number<Code>(V::kSformCode, h.sform_code);
  visit.template Numbers<Real>(V::kQuatern, h.quatern);
  visit.template Numbers<Real>(V::kQoffset, h.qoffset);
  for (size_t row = 0; row < 3; ++row)
    visit.template Numbers<Real>(V::kSrow + 4 * sizeof(Real) * row, h.srow[row]);
  visit.Text(V::kIntentName, 16, h.intent_name);
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, bool swap) : bytes_(bytes), swap_(swap) {}

  template <class T, class Target>
  void Number(size_t offset, Target& target) const {
    std::byte raw[sizeof(T)];
    std::memcpy(raw, bytes_.data() + offset, sizeof(T));
    if (swap_) std::reverse(raw, raw + sizeof(T));
    const T value = std::bit_cast<T>(raw);
    if constexpr (std::is_floating_point_v<T> && std::is_integral_v<Target>) {
      constexpr T kMost = 9e15F;  // whole numbers beyond which a double has none either
      target = std::isfinite(value) && std::abs(value) < kMost ? static_cast<Target>(value) : -1;
    } else {
      target = static_cast<Target>(value);
    }
  }
  template <class T, class Values>
  void Numbers(size_t offset, Values& values) const {
    for (size_t i = 0; i < values.size(); ++i) Number<T>(offset + i * sizeof(T), values[i]);
  }
  void Text(size_t offset, size_t size, std::string& text) const {
    const char* begin = reinterpret_cast<const char*>(bytes_.data() + offset);
    text.assign(begin, std::find(begin, begin + size, '\0'));
  }

 private:
  std::span<const std::byte> bytes_;
  bool swap_;
};

class Writer {
 public:
  explicit Writer(size_t bytes) : bytes_(bytes) {}

  template <class T, class Source>
  void Number(size_t offset, const Source& source) {
    const T stored = static_cast<T>(source);
    std::memcpy(bytes_.data() + offset, &stored, sizeof(T));
  }
  template <class T, class Values>
  void Numbers(size_t offset, const Values& values) {
    for (size_t i = 0; i < values.size(); ++i) Number<T>(offset + i * sizeof(T), values[i]);
  }
  void Text(size_t offset, size_t size, const std::string& text) {
    std::memcpy(bytes_.data() + offset, text.data(), std::min(size - 1, text.size()));
  }
  std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

template <class V>
NiftiHeader ReadVersion(const Reader& reader) {
  NiftiHeader header;
  header.version = V::kVersion;
  EachField<V>(header, reader);
  return header;
}

template <class V>
std::vector<std::byte> WriteVersion(const NiftiHeader& header) {
  constexpr size_t kExtension = 4;  // zeros: there is none
  Writer writer(V::kBytes + kExtension);
  writer.Number<int32_t>(0, V::kBytes);
  EachField<V>(header, writer);
  if (V::kVersion == 1)
    writer.Text(V::kMagic, 4, "n+1");
  else
    writer.Numbers<uint8_t>(V::kMagic,
                            std::array<int, 8>{'n', '+', '2', 0, 0x0D, 0x0A, 0x1A, 0x0A});
  return std::move(writer).Take();
}

}  // namespace

NiftiHeader ReadNiftiFields(std::span<const std::byte> header, int version, bool big_endian) {
  const Reader reader(header, big_endian);
  NiftiHeader fields = version == 1 ? ReadVersion<Version1>(reader) : ReadVersion<Version2>(reader);
  fields.big_endian = big_endian;
  return fields;
}

std::string NiftiMagic(std::span<const std::byte> header, int version) {
  std::string magic;
  Reader(header, false).Text(version == 1 ? Version1::kMagic : Version2::kMagic, 4, magic);
  return magic;
}

std::vector<std::byte> SerializeNiftiHeader(const NiftiHeader& header) {
  return header.version == 1 ? WriteVersion<Version1>(header) : WriteVersion<Version2>(header);
}

}  // namespace orchard::io
