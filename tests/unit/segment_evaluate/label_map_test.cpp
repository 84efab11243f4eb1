#include "segment/label_map.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/medical/nifti.h"
#include "unit/scratch_dir.h"

namespace orchard::segment {
namespace {

TEST(CaseName, DropsEndingsAndTheChannel) {
  EXPECT_EQ(CaseName("a/hippocampus_001.nii.gz"), "hippocampus_001");
  EXPECT_EQ(CaseName("hippocampus_001_0000.nii"), "hippocampus_001");
  EXPECT_EQ(CaseName("scan.v2.nii.gz"), "scan.v2");
  EXPECT_EQ(CaseName("_0000.nii"), "_0000");
}

TEST(FindCases, KeepsFoldersApartAndRefusesTwoFilesOfOneCase) {
  const testing::ScratchDir scratch;
  std::filesystem::create_directories(scratch / "b");
  for (const char* name : {"a.nii.gz", "b/a.nii", "notes.txt"})
    testing::WriteText(scratch / name, "");
  const auto cases = FindCases(scratch.path());
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_TRUE(cases.contains("a"));
  EXPECT_TRUE(cases.contains("b/a"));
  testing::WriteText(scratch / "a_0000.nii", "");
  EXPECT_THROW(FindCases(scratch.path()), UsageError);
  EXPECT_THROW(FindCases(scratch / "none"), DataError);
}

TEST(FindCases, LeavesOutTheMapsOfDisagreement) {
  const testing::ScratchDir scratch;
  std::filesystem::create_directories(scratch / "qc");
  for (const char* name :
       {"a.nii.gz", "a_disagreement.nii.gz", "qc/a.nii.gz", "qc/a_disagreement.nii.gz"})
    testing::WriteText(scratch / name, "");
  const auto cases = FindCases(scratch.path());
  EXPECT_EQ(cases.size(), 3u);
  EXPECT_FALSE(cases.contains("qc/a_disagreement"));
}

TEST(ReadLabelMap, AppliesTheScaleAndRefusesFractions) {
  const testing::ScratchDir scratch;
  io::Volume volume = io::MakeVolume({{2, 1, 1}, {}}, io::DType::kF32);
  volume.Elements<float>()[0] = 1;
  volume.Elements<float>()[1] = 3;
  volume.slope = 2;
  io::WriteNifti(scratch / "a.nii", volume);
  EXPECT_EQ(ReadLabelMap(scratch / "a.nii").labels, (std::vector<uint16_t>{2, 6}));
  volume.slope = 0.5;
  io::WriteNifti(scratch / "b.nii", volume);
  EXPECT_THROW(ReadLabelMap(scratch / "b.nii"), DataError);
}

TEST(ParseNames, ReadsLabelsAndNames) {
  const auto names = ParseNames({"1=anterior", "12=a=b"}, "--names");
  EXPECT_EQ(names.at(1), "anterior");
  EXPECT_EQ(names.at(12), "a=b");
  EXPECT_THROW(ParseNames({"x=1"}, "--names"), UsageError);
  EXPECT_THROW(ParseNames({"0=background"}, "--names"), UsageError);
}

}  // namespace
}  // namespace orchard::segment
