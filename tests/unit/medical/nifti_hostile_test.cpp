// Headers that lie, and files that end early: an error that names file and field, and no memory
// taken for what is not there.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "io/medical/nifti.h"
#include "unit/io/temporary_directory.h"
#include "unit/medical/nifti_bytes.h"

namespace orchard::io {
namespace {

void ExpectRefused(const std::string& bytes, const std::string& part,
                   const std::string& name = "bad.nii") {
  TemporaryDirectory folder;
  try {
    ReadNifti(folder.Put(name, bytes));
    ADD_FAILURE() << "was read: " << part;
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

std::string Changed(const std::function<void(NiftiBytes&)>& change, int version = 1) {
  NiftiBytes bytes(version);
  change(bytes);
  return bytes.With(std::string(24, 'v'));
}

TEST(HostileNifti, NoHeader) {
  ExpectRefused("", "too short");
  ExpectRefused(std::string(347, '\0'), "too short");
  ExpectRefused(std::string(400, 'x'), "not a NIfTI file");
  ExpectRefused(NiftiBytes(2).header().substr(0, 400), "cut short");
  ExpectRefused(Changed([](auto& b) { b.SetMagic(std::string(3, '\0')); }), "Analyze");
  ExpectRefused(Changed([](auto& b) { b.SetMagic("n+\x1b"); }), "magic");
}

TEST(HostileNifti, SizesThatAreNone) {
  ExpectRefused(Changed([](auto& b) { b.SetDim({0}); }), "dim[0]");
  ExpectRefused(Changed([](auto& b) { b.SetDim({8}); }), "dim[0]");
  ExpectRefused(Changed([](auto& b) { b.SetDim({3, 2, 0, 4}); }), "dim[2]");
  ExpectRefused(Changed([](auto& b) { b.SetDim({3, 2, -3, 4}); }), "dim[2]");
}

TEST(HostileNifti, SizesThatOverflow) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  ExpectRefused(Changed([](auto& b) { b.SetDim({3, kHuge, kHuge, kHuge}); }, 2), "overflow");
  ExpectRefused(Changed([](auto& b) {
                  b.SetDim({7, 32767, 32767, 32767, 32767, 32767, 1, 1});
                }),
                "overflow");
  ExpectRefused(Changed([](auto& b) { b.SetDim({3, kHuge, 1000, 1}); }, 2), "more than the file");
  ExpectRefused(Gzipped(Changed([](auto& b) {
                  b.SetDim({3, 32767, 32767, 100});
                })),
                "more than the file", "bad.nii.gz");
}

TEST(HostileNifti, OffsetsOutsideTheFile) {
  ExpectRefused(Changed([](auto& b) { b.SetOffset(1e15); }), "more than the file");
  ExpectRefused(Changed([](auto& b) { b.SetOffset(static_cast<double>(INT64_MAX)); }, 2),
                "more than the file");
  ExpectRefused(Changed([](auto& b) { b.SetOffset(-352); }), "vox_offset");
  ExpectRefused(Changed([](auto& b) { b.SetOffset(100); }), "vox_offset");
  ExpectRefused(Changed([](auto& b) { b.SetOffset(NAN); }), "vox_offset");
  ExpectRefused(Gzipped(Changed([](auto& b) { b.SetOffset(2000); })), "cut short", "bad.nii.gz");
}

TEST(HostileNifti, TypesThatAreNoNumber) {
  ExpectRefused(Changed([](auto& b) { b.SetType(128, 24); }), "RGB24");
  ExpectRefused(Changed([](auto& b) { b.SetType(32, 64); }), "complex64");
  ExpectRefused(Changed([](auto& b) { b.SetType(77, 8); }), "datatype 77");
  ExpectRefused(Changed([](auto& b) { b.SetType(4, 8); }), "bitpix");
}

TEST(HostileNifti, NoPlace) {
  ExpectRefused(Changed([](auto& b) { b.SetSpacing({1, 0, 1, 1}); }), "zero spacing");
  ExpectRefused(Changed([](auto& b) {
                  b.SetSpacing({1, NAN, 1, 1}).SetQform(1, {9, 9, 9}, {INFINITY, 0, 0});
                }),
                "zero spacing");
}

TEST(HostileNifti, LengthsThatAreTooLargeOrSmallInMillimetres) {
  const auto placed = [](double size, double origin, int units) {
    return NiftiBytes(2)
        .SetSform(1, {size, 0, 0, origin, 0, size, 0, 0, 0, 0, size, 0})
        .SetUnits(units)
        .With(std::string(24, 'x'));
  };
  ExpectRefused(placed(1, 4e305, 1), "millimetres");
  ExpectRefused(placed(1e-107, 0, 3), "millimetres");
}

TEST(HostileNifti, CutShort) {
  ExpectRefused(NiftiBytes().With(std::string(23, 'v')), "more than the file");
  const std::string whole = Gzipped(NiftiBytes().With(std::string(24, 'v')));
  for (size_t keep = 3; keep < whole.size(); ++keep)
    ExpectRefused(whole.substr(0, keep), "cut short", "bad.nii.gz");
}

TEST(HostileNifti, AFlippedBitInGzipIsSeen) {
  std::string bytes = Gzipped(NiftiBytes().With(std::string(24, 'v')));
  bytes[bytes.size() - 6] ^= 1;  // of the check sum
  ExpectRefused(bytes, "damaged", "bad.nii.gz");
}

}  // namespace
}  // namespace orchard::io
