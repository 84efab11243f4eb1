// A three-dimensional image with its place in the patient: what NIfTI files and DICOM series
// become.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/dtype.h"
#include "io/medical/affine.h"

namespace orchard::io {

// Voxels and where they lie.
struct Grid {
  std::array<int64_t, 3> size = {0, 0, 0};  // voxels along i, j, k
  Affine affine;                            // (i, j, k) to RAS millimetres

  int64_t Voxels() const { return size[0] * size[1] * size[2]; }
  bool operator==(const Grid&) const = default;
};

// Voxel (i, j, k) is element i + size[0] * (j + size[1] * k): i runs fastest, so that the bytes are
// those of a NIfTI file and, read as a C array, [D, H, W] with D = size[2].
//
// The real value of an element is slope * element + intercept.
struct Volume {
  Grid grid;
  DType dtype = DType::kF32;  // U8 I8 U16 I16 U32 I32 U64 I64 F32 F64, in the machine's byte order
  double slope = 1, intercept = 0;
  std::vector<std::byte> data;

  bool scaled() const { return slope != 1 || intercept != 0; }

  // The elements as T, which must be the type of `dtype` in size.
  template <class T>
  std::span<T> Elements() {
    return {reinterpret_cast<T*>(data.data()), data.size() / sizeof(T)};
  }
  template <class T>
  std::span<const T> Elements() const {
    return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
  }
};

// Zeroed elements for `grid`. Throws ResourceError when there is no memory for them.
Volume MakeVolume(const Grid& grid, DType dtype);

// Calls `visit(T{})` with a zero of the C++ type that `dtype` stands for: U8..U64, F32, F64. Throws
// ImpossibleError for others.
template <class Visit>
decltype(auto) VisitNumber(DType dtype, Visit&& visit);

// Real values, in the order of the elements. Rounded once, to the nearest float.
std::vector<float> RealValues(const Volume& volume);

struct ValueRange {
  double min = 0, max = 0;  // of the finite real values; 0 and 0 when there are none
  int64_t not_a_number = 0, infinite = 0;
  bool integral = true;  // every finite real value is a whole number
};
ValueRange FindRange(const Volume& volume);

[[noreturn]] void ThrowNotANumberType(DType dtype);

template <class Visit>
decltype(auto) VisitNumber(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::kU8:
      return visit(uint8_t{});
    case DType::kI8:
      return visit(int8_t{});
    case DType::kU16:
      return visit(uint16_t{});
    case DType::kI16:
      return visit(int16_t{});
    case DType::kU32:
      return visit(uint32_t{});
    case DType::kI32:
      return visit(int32_t{});
    case DType::kU64:
      return visit(uint64_t{});
    case DType::kI64:
      return visit(int64_t{});
    case DType::kF32:
      return visit(float{});
    case DType::kF64:
      return visit(double{});
    default:
      ThrowNotANumberType(dtype);
  }
}

}  // namespace orchard::io
