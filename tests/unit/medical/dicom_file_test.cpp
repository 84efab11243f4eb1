// DICOM files from the disk: encodings, and what headers say that is not so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dcmtk/config/osconfig.h>
// DCMTK's configuration comes before its other headers.
#include <dcmtk/dcmdata/dctk.h>

#include "base/error.h"
#include "io/medical/dicom_pixels.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/orientation.h"
#include "unit/io/temporary_directory.h"
#include "unit/medical/dicom_maker.h"
#include "unit/scratch_dir.h"

namespace orchard::io {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

DicomVolume ReadOnly(const std::filesystem::path& path, const DicomVolumeOptions& options = {}) {
  const DicomScan scan = ScanDicom(path, 1);
  return ReadDicomVolume(ChooseSeries(scan, "", path.string()), options);
}

std::vector<float> Values(const std::filesystem::path& path) {
  return RealValues(ReadOnly(path).volume);
}

class Encodings : public ::testing::TestWithParam<const char*> {};

TEST_P(Encodings, KeepEveryBit) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.rows = 16;
  maker.columns = 33;
  maker.words.clear();
  for (uint32_t i = 0; i < 16 * 33; ++i)
    maker.words.push_back(static_cast<uint16_t>(i * 2654435761u >> 20));
  maker.stored = 12;
  maker.high = 11;
  maker.Write(folder / "a.dcm", GetParam());
  const std::vector<float> values = Values(folder / "a.dcm");
  ASSERT_EQ(values.size(), maker.words.size());
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], maker.words[i]) << i;
}
INSTANTIATE_TEST_SUITE_P(Dicom, Encodings,
                         ::testing::Values("implicit", "explicit", "big-endian", "deflated", "rle",
                                           "jpeg", "jpeg-ls", "jpeg2000"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(DicomFile, WithoutPreambleIsRecognised) {
  TemporaryDirectory folder;
  for (const char* encoding : {"implicit", "explicit", "big-endian"}) {
    DicomMaker().Write(folder / "a.dcm", encoding, false);
    EXPECT_EQ(Values(folder / "a.dcm")[11], 11) << encoding;
  }
}

TEST(DicomFile, BitsAboveTheHighBitAreNoPartOfAPixel) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.stored = 12;
  maker.high = 11;
  maker.words[0] = 0xF005;  // an overlay in the upper bits
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(Values(folder / "a.dcm")[0], 5);
}

TEST(DicomFile, PixelsMayLieAboveUnusedLowBits) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.stored = 12;
  maker.high = 15;
  maker.words[0] = 0x123F;
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(Values(folder / "a.dcm")[0], 0x123);
}

TEST(DicomFile, TheSignIsThatOfTheStoredBits) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.stored = 12;
  maker.high = 11;
  maker.is_signed = true;
  maker.words[0] = 0x0FFF;  // -1 in 12 bits, without the upper ones
  maker.words[1] = 0x0800;
  maker.Write(folder / "a.dcm");
  const auto values = Values(folder / "a.dcm");
  EXPECT_EQ(values[0], -1);
  EXPECT_EQ(values[1], -2048);
}

TEST(DicomFile, ASignedJpeg2000StreamIsRightAboutItsSign) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.is_signed = true;
  maker.words[0] = static_cast<uint16_t>(-1000);
  maker.change = [](DcmDataset& data) { data.putAndInsertUint16(DCM_PixelRepresentation, 0); };
  maker.Write(folder / "a.dcm", "jpeg2000");
  EXPECT_EQ(Values(folder / "a.dcm")[0], -1000);
}

TEST(DicomFile, AnUnsignedJpeg2000StreamUnderASignedHeaderHoldsTwosComplement) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.stored = 13;
  maker.high = 12;
  maker.words[0] = 8192 - 2000;
  maker.change = [](DcmDataset& data) { data.putAndInsertUint16(DCM_PixelRepresentation, 1); };
  maker.Write(folder / "a.dcm", "jpeg2000");
  EXPECT_EQ(Values(folder / "a.dcm")[0], -2000);
}

TEST(DicomVolume, RescalesEverySliceByItsOwn) {
  TemporaryDirectory folder;
  for (int n = 0; n < 3; ++n) {
    DicomMaker slice = DicomMaker().At(2 * n, n);
    slice.change = [n](DcmDataset& data) {
      data.putAndInsertString(DCM_RescaleSlope, n == 0 ? "1" : "2");
      data.putAndInsertString(DCM_RescaleIntercept, n == 2 ? "-1024" : "0");
    };
    slice.Write(folder / ("z" + std::to_string(9 - n) + ".dcm"));
  }
  const DicomVolume read = ReadOnly(folder.path());
  EXPECT_EQ(read.volume.dtype, DType::kI16);
  const auto values = RealValues(read.volume);
  EXPECT_EQ(values[3], 3);
  EXPECT_EQ(values[12 + 3], 6);
  EXPECT_EQ(values[24 + 3], 6 - 1024);
}

TEST(DicomVolume, FractionalRescalingBecomesFloats) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.change = [](DcmDataset& data) {
    data.putAndInsertString(DCM_RescaleSlope, "0.5");
    data.putAndInsertString(DCM_RescaleIntercept, "0.25");
  };
  maker.Write(folder / "a.dcm");
  const DicomVolume read = ReadOnly(folder / "a.dcm");
  EXPECT_EQ(read.volume.dtype, DType::kF32);
  EXPECT_EQ(RealValues(read.volume)[3], 1.75F);
}

TEST(DicomVolume, LargeValuesTakeUnsignedOr32Bits) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.words[0] = 65535;
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(ReadOnly(folder / "a.dcm").volume.dtype, DType::kU16);
  maker.change = [](DcmDataset& data) {
    data.putAndInsertString(DCM_RescaleSlope, "2");
    data.putAndInsertString(DCM_RescaleIntercept, "-1024");
  };
  maker.Write(folder / "a.dcm");
  const DicomVolume read = ReadOnly(folder / "a.dcm");
  EXPECT_EQ(read.volume.dtype, DType::kI32);
  EXPECT_EQ(RealValues(read.volume)[0], 2 * 65535 - 1024);
}

TEST(DicomVolume, PaddingBecomesTheSmallestOtherValue) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.modality = "CT";
  maker.is_signed = true;
  maker.words[0] = static_cast<uint16_t>(-2000);
  maker.words[1] = static_cast<uint16_t>(-1999);
  maker.words[2] = static_cast<uint16_t>(-500);
  maker.change = [](DcmDataset& data) {
    data.putAndInsertSint16(DcmTag(DCM_PixelPaddingValue, EVR_SS), -2000);
  };
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(Values(folder / "a.dcm")[0], -1999);
  maker.change = [](DcmDataset& data) {  // written without a sign, and a range
    data.putAndInsertUint16(DcmTag(DCM_PixelPaddingValue, EVR_US), static_cast<Uint16>(-2000));
    data.putAndInsertUint16(DcmTag(DCM_PixelPaddingRangeLimit, EVR_US), static_cast<Uint16>(-1999));
  };
  maker.Write(folder / "a.dcm");
  const auto values = Values(folder / "a.dcm");
  EXPECT_EQ(values[0], -500);
  EXPECT_EQ(values[1], -500);
}

TEST(DicomVolume, Monochrome1IsTurnedOverUnlessValuesHaveAUnit) {
  TemporaryDirectory folder;
  DicomMaker maker;
  maker.stored = 12;
  maker.high = 11;
  maker.photometric = "MONOCHROME1";
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(Values(folder / "a.dcm")[3], 4095 - 3);
  maker.modality = "CT";
  maker.Write(folder / "a.dcm");
  EXPECT_EQ(Values(folder / "a.dcm")[3], 3);
}

TEST(DicomVolume, FramesOfAnEnhancedFileStandByPosition) {
  TemporaryDirectory folder;
  for (const char* encoding : {"explicit", "rle", "jpeg", "jpeg-ls"}) {
    WriteEnhanced(folder / "a.dcm", encoding);
    const DicomScan scan = ScanDicom(folder / "a.dcm", 1);
    ASSERT_EQ(scan.series.size(), 1u) << encoding;
    // -2, 0, 4: a slice is missing at 2.
    EXPECT_THAT(scan.series[0].gap, HasSubstr("1 slice missing"));
    EXPECT_EQ(scan.series[0].grid.affine.Spacing(), (Vec3{0.25, 0.5, 2}));
    EXPECT_THROW(ReadDicomVolume(scan.series[0], {}), DataError);
    const DicomVolume read = ReadDicomVolume(scan.series[0], {.allow_gaps = true});
    EXPECT_THAT(read.warnings, Contains(HasSubstr("interpolated")));
    const auto values = RealValues(read.volume);
    ASSERT_EQ(values.size(), 48u);
    EXPECT_EQ(values[5], 2 * (10 + 5) + 100) << encoding;   // frame 1, the lowest
    EXPECT_EQ(values[17], 2 * 5) << encoding;               // frame 0
    EXPECT_EQ(values[41], 2 * (20 + 5) + 200) << encoding;  // frame 2
    EXPECT_EQ(values[29], (values[17] + values[41]) / 2) << encoding;
  }
}

TEST(DicomVolume, RemovingTheShearKeepsARampAlongTheTrueAxes) {
  // Value = 10 y in space, sampled on slices that each start 1.5 pixels further: upright again,
  // every slice holds the same ramp.
  Grid grid{{4, 12, 5}, Affine::FromColumns({1, 0, 0}, {0, 2, 0}, {0, 3, 4}, {7, 0, 0})};
  Volume volume = MakeVolume(grid, DType::kF32);
  const auto values = volume.Elements<float>();
  for (int64_t k = 0, n = 0; k < 5; ++k)
    for (int64_t j = 0; j < 12; ++j)
      for (int64_t i = 0; i < 4; ++i, ++n)
        values[static_cast<size_t>(n)] = static_cast<float>(10 * (2 * j + 3 * k));
  const Volume upright = RemoveShear(volume);
  EXPECT_LT(upright.grid.affine.Shear(), 1e-12);
  EXPECT_EQ(upright.grid.size, (std::array<int64_t, 3>{4, 18, 5}));
  const auto turned = upright.Elements<float>();
  for (int64_t k = 0; k < 5; ++k) {
    for (int64_t j = 0; j < 18; ++j) {
      const double source_row = static_cast<double>(j) - 1.5 * static_cast<double>(k);
      if (source_row < 0 || source_row > 11) continue;  // outside what was measured
      EXPECT_NEAR(turned[static_cast<size_t>(4 * (j + 18 * k))], 20.0 * static_cast<double>(j),
                  1e-3);
    }
  }
}

TEST(ScanDicom, SkipsWithALineWhatHoldsNoImage) {
  TemporaryDirectory folder;
  folder.Put("notes.txt", "nothing here");
  DicomMaker().Write(folder / "image.dcm");
  DicomMaker report;
  report.change = [](DcmDataset& data) {
    data.putAndInsertString(DCM_SOPClassUID, UID_RTStructureSetStorage);
    data.findAndDeleteElement(DCM_Rows);
  };
  report.Write(folder / "plan.dcm");
  DicomMaker lost;
  lost.change = [](DcmDataset& data) { data.findAndDeleteElement(DCM_ImagePositionPatient); };
  lost.Write(folder / "lost.dcm");
  const DicomScan scan = ScanDicom(folder.path(), 2);
  EXPECT_EQ(scan.series.size(), 1u);
  ASSERT_EQ(scan.skipped.size(), 3u);
  EXPECT_THAT(scan.skipped[0].why, HasSubstr("no ImagePositionPatient"));
  EXPECT_EQ(scan.skipped[1].reason, SkipReason::kNotDicom);
  EXPECT_THAT(scan.skipped[2].why, HasSubstr("RTStructureSet"));
}

TEST(ScanDicom, EmptyUidsAreDerivedAndSaidSo) {
  TemporaryDirectory folder;
  for (int n = 0; n < 2; ++n) {
    DicomMaker slice = DicomMaker().At(n, n);
    slice.words[0] = static_cast<uint16_t>(n);
    slice.change = [](DcmDataset& data) {
      for (const DcmTagKey& tag : {DCM_SOPClassUID, DCM_SOPInstanceUID, DCM_SeriesInstanceUID})
        data.insertEmptyElement(tag);
    };
    slice.Write(folder / std::to_string(n), "explicit", false);
  }
  const DicomScan scan = ScanDicom(folder.path(), 1);
  ASSERT_EQ(scan.series.size(), 1u);
  EXPECT_EQ(scan.series[0].frames.size(), 2u);
  EXPECT_THAT(scan.series[0].frames[0].sop_instance_uid, HasSubstr("2.25."));
  EXPECT_THAT(scan.series[0].warnings, Contains(HasSubstr("no SOPInstanceUID")));
  EXPECT_THAT(scan.series[0].warnings, Contains(HasSubstr("no SeriesInstanceUID")));
  EXPECT_THAT(scan.series[0].warnings, Contains(HasSubstr("no SOPClassUID")));
}

// ---- damaged ----

TEST(HostileDicom, CutShortAnywhere) {
  TemporaryDirectory folder;
  for (const char* encoding : {"explicit", "implicit", "rle", "jpeg", "jpeg-ls", "jpeg2000"}) {
    DicomMaker().Write(folder / "whole.dcm", encoding);
    const std::string whole = testing::ReadText(folder / "whole.dcm");
    for (size_t keep = 132; keep < whole.size(); keep += 7) {
      const auto path = folder.Put("cut.dcm", whole.substr(0, keep));
      try {
        const DicomScan scan = ScanDicom(path, 1);
        if (scan.series.empty()) continue;
        ReadDicomVolume(scan.series[0], {});
        // Padding behind the last fragment may be missing; a pixel may not.
        EXPECT_GE(keep + 16, whole.size()) << encoding << " cut at " << keep;
      } catch (const DataError&) {
      }
    }
  }
}

TEST(HostileDicom, HeadersThatLie) {
  TemporaryDirectory folder;
  const auto expect_refused = [&](const std::function<void(DcmDataset&)>& change,
                                  const std::string& part) {
    DicomMaker maker;
    maker.change = change;
    maker.Write(folder / "bad.dcm");
    try {
      Values(folder / "bad.dcm");
      ADD_FAILURE() << part;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
      EXPECT_THAT(error.what(), HasSubstr("bad.dcm"));
    }
  };
  const auto put = [](const DcmTagKey& tag, Uint16 value) {
    return [tag, value](DcmDataset& data) { data.putAndInsertUint16(tag, value); };
  };
  const auto text = [](const DcmTagKey& tag, const char* value) {
    return [tag, value](DcmDataset& data) { data.putAndInsertString(tag, value); };
  };
  expect_refused(put(DCM_Rows, 65535), "cut short");
  expect_refused(
      [](DcmDataset& data) {
        data.putAndInsertUint16(DCM_Rows, 65535);
        data.putAndInsertUint16(DCM_Columns, 65535);
      },
      "65535x65535 pixels in a file of");
  expect_refused(put(DCM_BitsStored, 17), "BitsStored");
  expect_refused(put(DCM_HighBit, 40), "HighBit");
  expect_refused(put(DCM_BitsAllocated, 12), "BitsAllocated");
  expect_refused(put(DCM_SamplesPerPixel, 3), "colour");
  expect_refused(text(DCM_NumberOfFrames, "1000000000"), "frames");
  expect_refused(text(DCM_NumberOfFrames, "7"), "without a place");
  expect_refused(text(DCM_PixelSpacing, "0\\1"), "PixelSpacing");
  expect_refused(text(DCM_ImageOrientationPatient, "1\\0\\0\\1\\0\\0"), "ImageOrientationPatient");
  expect_refused(text(DCM_ImagePositionPatient, "1e300\\0\\0"), "ten kilometres");
  expect_refused([](DcmDataset& data) { data.findAndDeleteElement(DCM_PixelData); }, "PixelData");
}

}  // namespace
}  // namespace orchard::io
