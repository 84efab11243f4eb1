#include "io/medical/nifti.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "unit/io/temporary_directory.h"
#include "unit/medical/nifti_bytes.h"
#include "unit/scratch_dir.h"

namespace orchard::io {
namespace {

std::string Voxels(size_t bytes) {
  std::string voxels(bytes, '\0');
  std::iota(voxels.begin(), voxels.end(), '\1');
  return voxels;
}

bool Mentions(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

// One value of every type, in both byte orders and both versions.
template <class T>
void ExpectReads(int16_t datatype, DType dtype) {
  TemporaryDirectory folder;
  for (int version : {1, 2}) {
    for (bool big : {false, true}) {
      const std::vector<T> values = {T{1}, static_cast<T>(-2), std::numeric_limits<T>::max()};
      NiftiBytes bytes(version, big);
      bytes.SetDim({3, 3, 1, 1}).SetType(datatype, 8 * sizeof(T));
      std::string voxels(sizeof(T) * 3, '\0');
      for (size_t i = 0; i < 3; ++i) {
        std::memcpy(voxels.data() + i * sizeof(T), &values[i], sizeof(T));
        if (big) std::reverse(voxels.data() + i * sizeof(T), voxels.data() + (i + 1) * sizeof(T));
      }
      const NiftiImage image = ReadNifti(folder.Put("a.nii", bytes.With(voxels)));
      EXPECT_EQ(image.volume.dtype, dtype);
      EXPECT_EQ(image.header.big_endian, big);
      const auto elements = image.volume.Elements<T>();
      EXPECT_TRUE(std::equal(values.begin(), values.end(), elements.begin(), elements.end()))
          << "datatype " << datatype << ", version " << version << ", big-endian " << big;
    }
  }
}

TEST(ReadNifti, EveryTypeInBothByteOrdersAndVersions) {
  ExpectReads<uint8_t>(2, DType::kU8);
  ExpectReads<int8_t>(256, DType::kI8);
  ExpectReads<int16_t>(4, DType::kI16);
  ExpectReads<uint16_t>(512, DType::kU16);
  ExpectReads<int32_t>(8, DType::kI32);
  ExpectReads<uint32_t>(768, DType::kU32);
  ExpectReads<int64_t>(1024, DType::kI64);
  ExpectReads<uint64_t>(1280, DType::kU64);
  ExpectReads<float>(16, DType::kF32);
  ExpectReads<double>(64, DType::kF64);
}

TEST(ReadNifti, TheSformCountsBeforeTheQform) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSform(1, {-2, 0, 0, 7, 0, 2, 0, 8, 0, 0, 2, 9}).SetQform(1, {0, 0, 0}, {1, 2, 3});
  const NiftiFile file = InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_EQ(file.place.form, "sform");
  EXPECT_EQ(file.place.affine({1, 0, 0}), (Vec3{5, 8, 9}));
  EXPECT_TRUE(Mentions(file.warnings, "disagree"));
}

TEST(ReadNifti, TheQformCountsWhereThereIsNoSform) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  const double half = std::sqrt(0.5);  // a quarter turn about z
  bytes.SetSpacing({1, 2, 3, 4}).SetQform(1, {0, 0, half}, {1, 2, 3});
  const NiftiFile file = InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_EQ(file.place.form, "qform");
  const Vec3 p = file.place.affine({1, 1, 1});
  EXPECT_NEAR(p[0], 1 - 3, 1e-6);
  EXPECT_NEAR(p[1], 2 + 2, 1e-6);
  EXPECT_NEAR(p[2], 3 + 4, 1e-6);
}

TEST(ReadNifti, ANegativeQfacTurnsTheThirdAxis) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSpacing({-1, 2, 3, 4}).SetQform(1, {0, 0, 0}, {0, 0, 0});
  const NiftiFile file = InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_EQ(OrientationCode(file.place.affine), "RAI");
}

TEST(ReadNifti, WithoutAFormTheSpacingCountsWithAWarning) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSpacing({1, 2, -3, 4});
  const NiftiFile file = InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_EQ(file.place.form, "pixdim");
  EXPECT_EQ(file.place.affine.Spacing(), (Vec3{2, 3, 4}));
  EXPECT_TRUE(Mentions(file.warnings, "no orientation"));
  EXPECT_TRUE(Mentions(file.warnings, "pixdim[2] is negative"));
}

TEST(ReadNifti, AFormThatCannotBeUsedYieldsToTheNext) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSform(1, {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0}).SetQform(1, {0, 0, 0}, {1, 2, 3});
  EXPECT_EQ(InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24)))).place.form, "qform");
  bytes.SetSform(1, {NAN, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24)))).place.form, "qform");
}

TEST(ReadNifti, OtherUnitsBecomeMillimetres) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSform(1, {2, 0, 0, 7, 0, 2, 0, 8, 0, 0, 2, 9}).SetUnits(3);
  const NiftiFile file = InspectNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_NEAR(file.place.affine.Spacing()[0], 2e-3, 1e-12);
  EXPECT_NEAR(file.place.affine.Origin()[2], 9e-3, 1e-12);
}

TEST(ReadNifti, ScalingStaysBesideTheStoredValues) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetScale(0.5, -10);
  const NiftiImage image = ReadNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  EXPECT_EQ(image.volume.Elements<uint8_t>()[3], 4);
  EXPECT_EQ(RealValues(image.volume)[3], 0.5F * 4 - 10);
  bytes.SetScale(0, 5);
  EXPECT_FALSE(ReadNifti(folder.Put("b.nii", bytes.With(Voxels(24)))).volume.scaled());
  bytes.SetScale(NAN, 0);
  EXPECT_FALSE(ReadNifti(folder.Put("c.nii", bytes.With(Voxels(24)))).volume.scaled());
}

TEST(ReadNifti, ExtensionsAreSkipped) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetOffset(352 + 32);
  const NiftiImage image =
      ReadNifti(folder.Put("a.nii", bytes.With(std::string(32, 'e') + Voxels(24))));
  EXPECT_EQ(image.volume.Elements<uint8_t>()[0], 1);
}

TEST(ReadNifti, ChoosesAVolumeOfSeveral) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetDim({4, 2, 3, 1, 4});
  const auto path = folder.Put("a.nii.gz", Gzipped(bytes.With(Voxels(24))));
  EXPECT_EQ(InspectNifti(path).header.frames(), 4);
  EXPECT_THROW(ReadNifti(path), DataError);
  EXPECT_EQ(ReadNifti(path, 2).volume.Elements<uint8_t>()[0], 13);
  EXPECT_THROW(ReadNifti(path, 4), UsageError);
}

TEST(ReadNifti, SeveralGzipStreamsAreOne) {
  TemporaryDirectory folder;
  const std::string bytes = NiftiBytes().With(Voxels(24));
  const auto path =
      folder.Put("a.nii.gz", Gzipped(bytes.substr(0, 100)) + Gzipped(bytes.substr(100)));
  EXPECT_EQ(ReadNifti(path).volume.Elements<uint8_t>()[23], 24);
}

TEST(ReadNifti, PairsOfHeaderAndVoxels) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetMagic("ni1").SetOffset(0);
  const auto header = folder.Put("a.hdr", bytes.header());
  EXPECT_THROW(ReadNifti(header), DataError);  // no voxels yet
  const auto voxels = folder.Put("a.img.gz", Gzipped(Voxels(24)));
  EXPECT_EQ(ReadNifti(header).volume.Elements<uint8_t>()[23], 24);
  EXPECT_EQ(ReadNifti(voxels).volume.Elements<uint8_t>()[23], 24);
}

// ---- writing ----

RC_GTEST_PROP(WriteNifti, TheQformOfARotationIsItsSform, ()) {
  const auto angle = [] { return *rc::gen::inRange(-314, 315) / 100.0; };
  const double a = angle(), b = angle(), c = angle();
  const double r[3][3] = {{std::cos(a) * std::cos(b),
                           std::cos(a) * std::sin(b) * std::sin(c) - std::sin(a) * std::cos(c),
                           std::cos(a) * std::sin(b) * std::cos(c) + std::sin(a) * std::sin(c)},
                          {std::sin(a) * std::cos(b),
                           std::sin(a) * std::sin(b) * std::sin(c) + std::cos(a) * std::cos(c),
                           std::sin(a) * std::sin(b) * std::cos(c) - std::cos(a) * std::sin(c)},
                          {-std::sin(b), std::cos(b) * std::sin(c), std::cos(b) * std::cos(c)}};
  const double handed = *rc::gen::arbitrary<bool>() ? 1 : -1;
  Affine affine;
  for (size_t row = 0; row < 3; ++row) {
    affine.m[row] = {r[row][0] * 0.5, r[row][1] * 2, r[row][2] * 3 * handed,
                     10.0 * (1 + static_cast<double>(row))};
  }
  NiftiHeader header;
  SetNiftiPlace(header, affine, 1);
  RC_ASSERT(header.qform_code == 1);
  const Affine qform = QuaternionAffine(header);
  for (size_t row = 0; row < 3; ++row)
    for (size_t column = 0; column < 4; ++column)
      RC_ASSERT(std::abs(qform.m[row][column] - affine.m[row][column]) < 1e-6);
}

TEST(WriteNifti, AShearedAffineHasNoQform) {
  NiftiHeader header;
  SetNiftiPlace(header, Affine::FromColumns({1, 0, 0}, {0, 1, 0}, {0, 0.3, 2}, {}), 1);
  EXPECT_EQ(header.qform_code, 0);
  EXPECT_EQ(header.sform_code, 1);
}

TEST(WriteNifti, ComesBackAsItWas) {
  TemporaryDirectory folder;
  Volume volume = MakeVolume(
      {{5, 6, 7}, Affine::FromColumns({-1, 0, 0}, {0, 0, 2}, {0, 3, 0}, {4, 5, 6})}, DType::kI16);
  std::iota(volume.Elements<int16_t>().begin(), volume.Elements<int16_t>().end(), int16_t{-100});
  volume.slope = 0.25;
  for (const char* name : {"a.nii", "a.nii.gz"}) {
    WriteNifti(folder / name, volume);
    const NiftiImage back = ReadNifti(folder / name);
    EXPECT_EQ(back.volume.data, volume.data);
    EXPECT_EQ(back.volume.slope, 0.25);
    EXPECT_EQ(back.volume.grid, volume.grid);
    EXPECT_EQ(back.warnings, std::vector<std::string>{});
  }
  EXPECT_THROW(WriteNifti(folder / "a.img", volume), UsageError);
}

TEST(WriteNifti, AnAxisBeyond32767NeedsVersion2) {
  TemporaryDirectory folder;
  WriteNifti(folder / "long.nii.gz", MakeVolume({{40000, 1, 1}, Affine{}}, DType::kU8));
  const NiftiImage back = ReadNifti(folder / "long.nii.gz");
  EXPECT_EQ(back.header.version, 2);
  EXPECT_EQ(back.grid().size[0], 40000);
}

TEST(WriteNifti, TheBytesDoNotDependOnThreads) {
  TemporaryDirectory folder;
  Volume volume = MakeVolume({{300, 300, 40}, Affine{}}, DType::kU16);
  std::iota(volume.Elements<uint16_t>().begin(), volume.Elements<uint16_t>().end(), uint16_t{0});
  WriteNifti(folder / "1.nii.gz", volume, {.threads = 1});
  WriteNifti(folder / "3.nii.gz", volume, {.threads = 3});
  EXPECT_EQ(testing::ReadText(folder / "1.nii.gz"), testing::ReadText(folder / "3.nii.gz"));
  EXPECT_EQ(ReadNifti(folder / "3.nii.gz").volume.data, volume.data);
}

TEST(WriteNifti, LikeAnotherCopiesBothForms) {
  TemporaryDirectory folder;
  NiftiBytes bytes;
  bytes.SetSform(4, {2, 0, 0, 7, 0, 2, 0, 8, 0, 0, 2, 9}).SetSpacing({1, 2, 2, 2});
  bytes.SetQform(2, {0, 0, 0}, {1, 2, 3}).SetUnits(10);
  const NiftiImage image = ReadNifti(folder.Put("a.nii", bytes.With(Voxels(24))));
  WriteNifti(folder / "b.nii", image.volume, {.like = &image.header});
  const std::string original = testing::ReadText(folder / "a.nii"),
                    copy = testing::ReadText(folder / "b.nii");
  EXPECT_EQ(original.substr(252, 76), copy.substr(252, 76));  // codes, quaternion, offset, rows
  EXPECT_EQ(original.substr(76, 16), copy.substr(76, 16));    // qfac and spacing
  Volume elsewhere = image.volume;
  elsewhere.grid.affine.m[0][3] += 1;
  EXPECT_THROW(WriteNifti(folder / "c.nii", elsewhere, {.like = &image.header}), ImpossibleError);
}

}  // namespace
}  // namespace orchard::io
