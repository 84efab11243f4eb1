#include "io/medical/nifti_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/medical/nifti_fields.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

void CheckSizes(const NiftiHeader& h, const std::string& where) {
  if (h.dim[0] < 1 || h.dim[0] > 7)
    throw DataError(fmt::format("NIfTI header with {} axes (1 to 7 are possible)", h.dim[0]),
                    where + ": dim[0]");
  int64_t bytes = 8;
  for (size_t i = 1; i < 8; ++i) {
    const int64_t n = h.dim[i];
    if (n < 1)
      throw DataError(fmt::format("NIfTI axis of {} voxels", n),
                      fmt::format("{}: dim[{}]", where, i));
    if (__builtin_mul_overflow(bytes, n, &bytes))
      throw DataError("NIfTI sizes overflow", fmt::format("{}: dim[{}]", where, i));
  }
  const auto type = NiftiElementType(h.datatype);
  if (type && h.bitpix != BitSize(*type)) {
    throw DataError(fmt::format("NIfTI {} of {} bits", NiftiDatatypeName(h.datatype), h.bitpix),
                    where + ": bitpix");
  }
  const int64_t least = h.version == 1 ? 352 : 544;
  if (h.vox_offset < 0 || (h.single_file && h.vox_offset != 0 && h.vox_offset < least))
    throw DataError("NIfTI voxels would begin inside the header", where + ": vox_offset");
}

struct Datatype {
  int16_t code;
  const char* name;
  std::optional<DType> dtype;
};
constexpr Datatype kDatatypes[] = {{2, "uint8", DType::kU8},
                                   {4, "int16", DType::kI16},
                                   {8, "int32", DType::kI32},
                                   {16, "float32", DType::kF32},
                                   {64, "float64", DType::kF64},
                                   {256, "int8", DType::kI8},
                                   {512, "uint16", DType::kU16},
                                   {768, "uint32", DType::kU32},
                                   {1024, "int64", DType::kI64},
                                   {1280, "uint64", DType::kU64},
                                   {1, "binary", {}},
                                   {32, "complex64", {}},
                                   {128, "RGB24", {}},
                                   {1536, "float128", {}},
                                   {1792, "complex128", {}},
                                   {2048, "complex256", {}},
                                   {2304, "RGBA32", {}}};

// Millimetres per unit of space; 0 for a code that has no meaning.
double MillimetresPerUnit(int32_t xyzt_units) {
  switch (xyzt_units & 7) {
    case 0:  // unknown: every known program writes millimetres
    case 2:
      return 1;
    case 1:
      return 1000;
    case 3:
      return 1e-3;
    default:
      return 0;
  }
}

Affine SformAffine(const NiftiHeader& h) {
  Affine affine;
  affine.m = h.srow;
  return affine;
}

// The largest step between the two maps over one voxel, in parts of the spacing, and of the
// origins.
double RelativeDifference(const Affine& a, const Affine& b) {
  double most = 0;
  const Vec3 spacing = a.Spacing();
  const double finest = std::min({spacing[0], spacing[1], spacing[2]});
  for (int axis = 0; axis < 3; ++axis) {
    most = std::max(
        most, Norm(Minus(a.Column(axis), b.Column(axis))) / spacing[static_cast<size_t>(axis)]);
  }
  return std::max(most, Norm(Minus(a.Origin(), b.Origin())) / finest);
}

}  // namespace

int64_t NiftiHeader::frames() const { return dim[4] * dim[5] * dim[6] * dim[7]; }

NiftiHeader ParseNiftiHeader(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < kNifti1HeaderBytes)
    throw DataError("file is too short for a NIfTI header", where);
  uint32_t size_of_header = 0;
  std::memcpy(&size_of_header, file.data(), sizeof size_of_header);
  const bool swap = __builtin_bswap32(size_of_header) == kNifti1HeaderBytes ||
                    __builtin_bswap32(size_of_header) == kNifti2HeaderBytes;
  const uint32_t size = swap ? __builtin_bswap32(size_of_header) : size_of_header;
  if (size != kNifti1HeaderBytes && size != kNifti2HeaderBytes)
    throw DataError("not a NIfTI file", where + ": sizeof_hdr");
  if (size > file.size()) throw DataError("NIfTI header is cut short", where);

  const int version = size == kNifti1HeaderBytes ? 1 : 2;
  const std::string magic = NiftiMagic(file, version);
  const std::string digit = std::to_string(version);
  if (magic != "n+" + digit && magic != "ni" + digit) {
    throw DataError(magic.empty() ? "an Analyze 7.5 file, which does not say where the image lies"
                                  : "NIfTI header with the magic " + Quoted(magic),
                    where + ": magic", "convert it with a program that knows its orientation");
  }
  NiftiHeader header = ReadNiftiFields(file, version, swap);
  header.single_file = magic[1] == '+';
  // Sizes behind the last axis are not sizes: some programs leave zeros or worse there.
  for (size_t i = 1; i < 8; ++i)
    if (static_cast<int64_t>(i) > header.dim[0]) header.dim[i] = 1;
  CheckSizes(header, where);
  if (header.single_file && header.vox_offset == 0) header.vox_offset = version == 1 ? 352 : 544;
  return header;
}

std::optional<DType> NiftiElementType(int16_t datatype) {
  for (const Datatype& entry : kDatatypes)
    if (entry.code == datatype) return entry.dtype;
  return std::nullopt;
}

int16_t NiftiDatatype(DType dtype) {
  for (const Datatype& entry : kDatatypes)
    if (entry.dtype == dtype) return entry.code;
  ThrowNotANumberType(dtype);
}

std::string NiftiDatatypeName(int16_t datatype) {
  for (const Datatype& entry : kDatatypes)
    if (entry.code == datatype) return entry.name;
  return fmt::format("datatype {}", datatype);
}

Affine QuaternionAffine(const NiftiHeader& h) {
  double b = h.quatern[0], c = h.quatern[1], d = h.quatern[2];
  double a = 1 - (b * b + c * c + d * d);
  if (a < 1e-7) {  // a turn by 180 degrees, stored with rounding errors
    const double length = std::sqrt(b * b + c * c + d * d);
    b /= length;
    c /= length;
    d /= length;
    a = 0;
  } else {
    a = std::sqrt(a);
  }
  const double qfac = h.pixdim[0] < 0 ? -1 : 1;
  const double x = std::abs(h.pixdim[1]), y = std::abs(h.pixdim[2]),
               z = std::abs(h.pixdim[3]) * qfac;
  return Affine::FromColumns(
      {(a * a + b * b - c * c - d * d) * x, 2 * (b * c + a * d) * x, 2 * (b * d - a * c) * x},
      {2 * (b * c - a * d) * y, (a * a + c * c - b * b - d * d) * y, 2 * (c * d + a * b) * y},
      {2 * (b * d + a * c) * z, 2 * (c * d - a * b) * z, (a * a + d * d - b * b - c * c) * z},
      h.qoffset);
}

NiftiPlace PlaceNifti(const NiftiHeader& h, const std::string& where) {
  NiftiPlace place;
  const Affine sform = SformAffine(h), qform = QuaternionAffine(h);
  const bool sform_usable = h.sform_code > 0 && !sform.Singular();
  const bool qform_usable = h.qform_code > 0 && !qform.Singular();
  if (h.sform_code > 0 && !sform_usable)
    place.warnings.push_back("the sform is singular: not used");
  if (h.qform_code > 0 && !qform_usable)
    place.warnings.push_back("the qform is singular: not used");
  for (size_t axis = 1; axis <= 3; ++axis) {
    if (h.pixdim[axis] < 0)
      place.warnings.push_back(fmt::format("pixdim[{}] is negative: its sign is dropped", axis));
  }
  if (sform_usable) {
    place.affine = sform;
    place.form = "sform";
    if (qform_usable && RelativeDifference(sform, qform) > 1e-3)
      place.warnings.push_back("sform and qform disagree: the sform counts");
  } else if (qform_usable) {
    place.affine = qform;
    place.form = "qform";
  } else {
    place.affine = Affine::FromColumns({std::abs(h.pixdim[1]), 0, 0}, {0, std::abs(h.pixdim[2]), 0},
                                       {0, 0, std::abs(h.pixdim[3])}, {0, 0, 0});
    place.form = "pixdim";
    if (place.affine.Singular())
      throw DataError("NIfTI header without a usable orientation and with zero spacing",
                      where + ": pixdim");
    place.warnings.push_back("the header has no orientation: spacing alone, axes taken as RAS");
  }
  const double unit = MillimetresPerUnit(h.xyzt_units);
  if (unit == 0) {
    place.warnings.push_back("the unit of length is unknown: millimetres assumed");
  } else if (unit != 1) {
    place.warnings.push_back(unit > 1 ? "lengths in metres: converted to millimetres"
                                      : "lengths in micrometres: converted to millimetres");
    for (auto& row : place.affine.m)
      for (double& value : row) value *= unit;
    if (place.affine.Singular()) {
      throw DataError("NIfTI lengths that no number of millimetres can hold",
                      where + ": xyzt_units");
    }
  }
  return place;
}

void SetNiftiPlace(NiftiHeader& h, const Affine& affine, int32_t code) {
  const Vec3 spacing = affine.Spacing();
  h.sform_code = code;
  h.srow = affine.m;
  h.qoffset = affine.Origin();
  for (size_t i = 0; i < 3; ++i) h.pixdim[i + 1] = spacing[i];
  h.xyzt_units = (h.xyzt_units & ~7) | 2;  // millimetres
  h.quatern = {0, 0, 0};
  h.pixdim[0] = affine.Determinant() < 0 ? -1 : 1;
  h.qform_code = affine.Shear() < 1e-6 ? code : 0;
  if (h.qform_code == 0) return;

  // Rotation to quaternion by its largest component, so that no division is by a small number.
  double r[3][3];
  for (size_t row = 0; row < 3; ++row) {
    for (size_t c = 0; c < 3; ++c)
      r[row][c] = affine.m[row][c] / spacing[c] * (c == 2 ? h.pixdim[0] : 1);
  }
  const double squares[] = {1 + r[0][0] + r[1][1] + r[2][2], 1 + r[0][0] - r[1][1] - r[2][2],
                            1 - r[0][0] + r[1][1] - r[2][2], 1 - r[0][0] - r[1][1] + r[2][2]};
  const auto largest = std::max_element(std::begin(squares), std::end(squares)) - squares;
  const double half = std::sqrt(squares[largest]) / 2, f = 1 / (4 * half);
  std::array<double, 4> q{};  // a, b, c, d
  switch (largest) {
    case 0:
      q = {half, (r[2][1] - r[1][2]) * f, (r[0][2] - r[2][0]) * f, (r[1][0] - r[0][1]) * f};
      break;
    case 1:
      q = {(r[2][1] - r[1][2]) * f, half, (r[0][1] + r[1][0]) * f, (r[0][2] + r[2][0]) * f};
      break;
    case 2:
      q = {(r[0][2] - r[2][0]) * f, (r[0][1] + r[1][0]) * f, half, (r[1][2] + r[2][1]) * f};
      break;
    default:
      q = {(r[1][0] - r[0][1]) * f, (r[0][2] + r[2][0]) * f, (r[1][2] + r[2][1]) * f, half};
  }
  const double sign = q[0] < 0 ? -1 : 1;
  h.quatern = {q[1] * sign + 0.0, q[2] * sign + 0.0, q[3] * sign + 0.0};  // no negative zeros
}

}  // namespace orchard::io
