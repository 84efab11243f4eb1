// The header of a NIfTI-1 or NIfTI-2 file (nifti.nimh.nih.gov), as stored and as understood.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/medical/volume.h"

namespace orchard::io {

inline constexpr size_t kNifti1HeaderBytes = 348, kNifti2HeaderBytes = 540;

// The fields that have a meaning today, in the machine's byte order.
struct NiftiHeader {
  int version = 1;          // 1 or 2
  bool big_endian = false;  // how the file stores its numbers
  bool single_file = true;  // "n+1": voxels follow in the same file; "ni1": they are in an .img
  std::array<int64_t, 8> dim = {3, 1, 1, 1, 1, 1, 1, 1};  // dim[0] axes
  int16_t datatype = 16, bitpix = 32;
  std::array<double, 8> pixdim = {1, 1, 1, 1, 1, 1, 1, 1};  // pixdim[0] is qfac
  int64_t vox_offset = 352;
  double scl_slope = 0, scl_inter = 0;  // slope 0: values are as stored
  double cal_min = 0, cal_max = 0;
  int32_t qform_code = 0, sform_code = 0;
  std::array<double, 3> quatern = {0, 0, 0}, qoffset = {0, 0, 0};
  std::array<std::array<double, 4>, 3> srow{};
  int32_t intent_code = 0;
  std::array<double, 3> intent_p = {0, 0, 0};
  std::string intent_name, descrip;
  int32_t xyzt_units = 0;

  int64_t frames() const;  // volumes: the product of the axes behind the third
};

inline constexpr int32_t kNiftiIntentLabel = 1002;

// Where the image lies, which form of the header said so, and what is odd about it.
struct NiftiPlace {
  Affine affine;                      // in millimetres, whatever unit the header counts in
  std::string form;                   // "sform", "qform" or "pixdim"
  std::vector<std::string> warnings;  // one line each, without the file's name
};

// `file` is at least the beginning of a header; `where` names it in errors. Throws DataError naming
// the field: not NIfTI, sizes that are no sizes or overflow, a type that bitpix contradicts, an
// offset inside the header. Analyze 7.5 files, which do not say where they lie, are refused.
NiftiHeader ParseNiftiHeader(std::span<const std::byte> file, const std::string& where);

// The type of the elements, or nothing for the types that are no single number: RGB, complex, bits,
// 128-bit floats.
std::optional<DType> NiftiElementType(int16_t datatype);
int16_t NiftiDatatype(DType dtype);               // the other way; throws ImpossibleError
std::string NiftiDatatypeName(int16_t datatype);  // "int16", "RGB24", "datatype 77"

// The sform where sform_code > 0, else the qform where qform_code > 0, else spacing alone: the
// order of nibabel and of most readers (the sform can hold any affine, the qform only rotations). A
// form that cannot be used (not finite, singular) yields to the next with a warning; forms that
// differ by more than 1e-3 of the spacing are a warning. Throws DataError when no form is usable.
NiftiPlace PlaceNifti(const NiftiHeader& header, const std::string& where);

// The 348 or 540 bytes of the header, little-endian, followed by the four zeros of "no extension".
std::vector<std::byte> SerializeNiftiHeader(const NiftiHeader& header);

// Sets both forms to `affine` with `code`: the qform only where it can express the affine (steps
// orthogonal to 1e-6), else qform_code = 0.
void SetNiftiPlace(NiftiHeader& header, const Affine& affine, int32_t code);

// The affine of a qform: unit quaternion (b, c, d), qfac, spacing and offset.
Affine QuaternionAffine(const NiftiHeader& header);

}  // namespace orchard::io
