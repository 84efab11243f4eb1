// DICOM segmentations: what is written comes back, on the slices it belongs to.
#include "io/medical/segmentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dcmtk/config/osconfig.h>
// DCMTK's configuration comes before its other headers.
#include <dcmtk/dcmdata/dctk.h>

#include "base/error.h"
#include "io/medical/bit_packing.h"
#include "io/medical/dicom_uid.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/orientation.h"
#include "unit/io/temporary_directory.h"
#include "unit/medical/dicom_maker.h"
#include "unit/scratch_dir.h"

namespace orchard::io {
namespace {

using ::testing::HasSubstr;

// A series of four oblique slices of 5 x 3 pixels: 15 bits a frame, no multiple of 8.
class SegmentationTest : public ::testing::Test {
 protected:
  SegmentationTest() {
    DicomMaker maker;
    maker.rows = 3;
    maker.columns = 5;
    maker.words.assign(15, 7);
    maker.orientation = "0.8\\0.6\\0\\0\\0\\-1";
    maker.spacing = "1.5\\0.75";
    for (int n = 0; n < 4; ++n) {
      DicomMaker slice = maker;
      slice.uid = "1.2.3." + std::to_string(n);
      slice.position = {10 - 0.6 * 2 * n, 20 + 0.8 * 2 * n, 30};
      slice.Write(folder_ / ("in/" + std::to_string(3 - n) + ".dcm"));
    }
    scan_ = ScanDicom(folder_ / "in", 1);
    labels_ = MakeVolume(series().grid, DType::kU8);
    for (int64_t i = 0; i < labels_.grid.Voxels(); ++i)
      labels_.Elements<uint8_t>()[static_cast<size_t>(i)] = static_cast<uint8_t>(i * 7 % 3);
  }

  const DicomSeries& series() const { return scan_.series.at(0); }

  struct Folder : TemporaryDirectory {
    Folder() { std::filesystem::create_directory(*this / "in"); }
  } folder_;
  DicomScan scan_;
  Volume labels_;
};

TEST_F(SegmentationTest, BothKindsComeBackAsTheyWere) {
  for (const SegmentationKind kind : {SegmentationKind::kBinary, SegmentationKind::kLabelMap}) {
    WriteSegmentation(folder_ / "seg.dcm", labels_, series(),
                      {.kind = kind, .segments = {{.label = 2, .name = "posterior"}}});
    EXPECT_TRUE(IsSegmentation(folder_ / "seg.dcm"));
    const Segmentation back = ReadSegmentation(folder_ / "seg.dcm");
    EXPECT_EQ(back.labels.grid.size, labels_.grid.size);
    EXPECT_EQ(back.labels.data, labels_.data);
    for (size_t row = 0; row < 3; ++row)
      for (size_t c = 0; c < 4; ++c)
        EXPECT_NEAR(back.labels.grid.affine.m[row][c], labels_.grid.affine.m[row][c], 1e-6);
    ASSERT_EQ(back.segments.size(), 2u);
    EXPECT_EQ(back.segments[0].name, "label 1");
    EXPECT_EQ(back.segments[1].name, "posterior");
  }
}

TEST_F(SegmentationTest, ALabelMapInOtherAxesIsTurnedBack) {
  const Volume turned = Reorient(labels_, ClosestCanonical(labels_.grid.affine));
  ASSERT_NE(turned.grid.size, labels_.grid.size);
  WriteSegmentation(folder_ / "seg.dcm", turned, series(), {});
  EXPECT_EQ(ReadSegmentation(folder_ / "seg.dcm").labels.data, labels_.data);
}

TEST_F(SegmentationTest, LabelsWithGapsKeepTheirValues) {
  Volume large = MakeVolume(labels_.grid, DType::kI32);
  large.Elements<int32_t>()[7] = 300;
  large.Elements<int32_t>()[55] = 17;
  for (const SegmentationKind kind : {SegmentationKind::kBinary, SegmentationKind::kLabelMap}) {
    WriteSegmentation(folder_ / "seg.dcm", large, series(), {.kind = kind});
    const Segmentation back = ReadSegmentation(folder_ / "seg.dcm");
    EXPECT_EQ(back.labels.dtype, DType::kU16);
    // Slices 0 and 3 have voxels: the grid is whole.
    ASSERT_EQ(back.labels.grid.size, labels_.grid.size);
    EXPECT_EQ(back.labels.Elements<uint16_t>()[7], 300);
    EXPECT_EQ(back.labels.Elements<uint16_t>()[55], 17);
  }
}

TEST_F(SegmentationTest, EveryFrameRefersToTheImageInItsPlace) {
  WriteSegmentation(folder_ / "seg.dcm", labels_, series(), {});
  DcmFileFormat format;
  ASSERT_TRUE(format.loadFile((folder_ / "seg.dcm").c_str()).good());
  DcmSequenceOfItems* frames = nullptr;
  format.getDataset()->findAndGetSequence(DCM_PerFrameFunctionalGroupsSequence, frames);
  ASSERT_TRUE(frames);
  EXPECT_EQ(frames->card(), 8u);  // two labels on four slices
  for (unsigned long f = 0; f < frames->card(); ++f) {
    OFString uid, x, y;
    DcmItem* item = frames->getItem(f);
    DcmItem *derivation = nullptr, *source = nullptr, *place = nullptr;
    item->findAndGetSequenceItem(DCM_DerivationImageSequence, derivation);
    derivation->findAndGetSequenceItem(DCM_SourceImageSequence, source);
    source->findAndGetOFString(DCM_ReferencedSOPInstanceUID, uid);
    item->findAndGetSequenceItem(DCM_PlanePositionSequence, place);
    place->findAndGetOFString(DCM_ImagePositionPatient, x, 0);
    place->findAndGetOFString(DCM_ImagePositionPatient, y, 1);
    const int n = std::stoi(std::string(uid.c_str()).substr(6));
    EXPECT_NEAR(std::stod(x.c_str()), 10 - 0.6 * 2 * n, 1e-6);
    EXPECT_NEAR(std::stod(y.c_str()), 20 + 0.8 * 2 * n, 1e-6);
  }
}

TEST_F(SegmentationTest, DeterministicFilesAreEqual) {
  for (const char* name : {"a.dcm", "b.dcm", "c.dcm"})
    WriteSegmentation(folder_ / name, labels_, series(), {.deterministic = name[0] != 'c'});
  const std::string a = testing::ReadText(folder_ / "a.dcm");
  EXPECT_EQ(a, testing::ReadText(folder_ / "b.dcm"));
  EXPECT_NE(a, testing::ReadText(folder_ / "c.dcm"));
}

TEST_F(SegmentationTest, AnEmptyLabelMapNeedsADescribedSegment) {
  const Volume empty = MakeVolume(labels_.grid, DType::kU8);
  EXPECT_THROW(WriteSegmentation(folder_ / "seg.dcm", empty, series(), {}), DataError);
  WriteSegmentation(folder_ / "seg.dcm", empty, series(),
                    {.segments = {{.label = 1, .name = "a"}}});
  const Segmentation back = ReadSegmentation(folder_ / "seg.dcm");
  EXPECT_EQ(FindRange(back.labels).max, 0);
}

TEST_F(SegmentationTest, RefusesWhatIsNoLabelMapOfTheSeries) {
  const auto refuse = [&](const Volume& volume, const char* part) {
    try {
      WriteSegmentation(folder_ / "seg.dcm", volume, series(), {});
      ADD_FAILURE() << part;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "seg.dcm"));
  };
  Volume moved = labels_;
  moved.grid.affine.m[2][3] += 0.5;
  refuse(moved, "not on the grid");
  Volume fractional = MakeVolume(labels_.grid, DType::kF32);
  fractional.Elements<float>()[4] = 1.5F;
  refuse(fractional, "1.5 is no label");
  Volume negative = MakeVolume(labels_.grid, DType::kI16);
  negative.Elements<int16_t>()[4] = -1;
  refuse(negative, "-1 is no label");
}

TEST_F(SegmentationTest, HostileOnesAreRefused) {
  WriteSegmentation(folder_ / "seg.dcm", labels_, series(), {});
  const auto refuse = [&](const std::function<void(DcmDataset&)>& change, const char* part) {
    DcmFileFormat format;
    ASSERT_TRUE(format.loadFile((folder_ / "seg.dcm").c_str()).good());
    change(*format.getDataset());
    ASSERT_TRUE(format.saveFile((folder_ / "bad.dcm").c_str()).good());
    try {
      ReadSegmentation(folder_ / "bad.dcm");
      ADD_FAILURE() << part;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  };
  refuse([](DcmDataset& d) { d.putAndInsertUint16(DCM_Rows, 60000); }, "cut short");
  refuse([](DcmDataset& d) { d.putAndInsertString(DCM_NumberOfFrames, "9"); }, "9 frames");
  refuse([](DcmDataset& d) { d.putAndInsertString(DCM_SegmentationType, "FRACTIONAL"); },
         "FRACTIONAL");
  refuse([](DcmDataset& d) { d.findAndDeleteElement(DCM_SegmentSequence); }, "not described");
  refuse([](DcmDataset& d) { d.findAndDeleteElement(DCM_PixelData); }, "no pixels");
}

TEST(BitPacking, FramesBeginInsideBytes) {
  BitPacker packer;
  for (bool bit : {true, false, true, true, false, false, false, false, true, false})
    packer.Push(bit);
  EXPECT_EQ(packer.bits(), 10u);
  const std::vector<uint8_t> bytes = std::move(packer).Take();
  EXPECT_THAT(bytes, ::testing::ElementsAre(0b00001101, 0b00000001));
  EXPECT_TRUE(BitAt(bytes, 8));
  EXPECT_FALSE(BitAt(bytes, 9));
}

TEST(UidMaker, SeedsMakeTheSameUidsInTheSameOrder) {
  UidMaker a("seed"), b("seed"), random;
  const std::string first = a.Next();
  EXPECT_EQ(first, b.Next());
  EXPECT_NE(first, a.Next());
  EXPECT_NE(random.Next(), random.Next());
  EXPECT_EQ(first.substr(0, 5), "2.25.");
  EXPECT_LE(first.size(), 64u);
}

}  // namespace
}  // namespace orchard::io
