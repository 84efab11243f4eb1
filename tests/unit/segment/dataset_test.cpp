#include "segment/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "io/medical/nifti.h"
#include "segment/prepared_case.h"
#include "unit/scratch_dir.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void WriteImage(const fs::path& path, float value) {
  fs::create_directories(path.parent_path());
  io::Volume v = io::MakeVolume({{4, 5, 6}, {}}, io::DType::kF32);
  for (float& x : v.Elements<float>()) x = value;
  v.Elements<float>()[7] = 0;
  io::WriteNifti(path, v);
}

TEST(FindDataset, ReadsTheLayoutOfNnUnetWithTwoChannels) {
  const testing::ScratchDir dir;
  for (const char* name : {"a_0000", "a_0001", "b_0000", "b_0001"})
    WriteImage(dir / ("imagesTr/" + std::string(name) + ".nii.gz"), 1);
  for (const char* name : {"a", "b"})
    WriteImage(dir / ("labelsTr/" + std::string(name) + ".nii.gz"), 2);
  testing::WriteText(
      dir / "dataset.json",
      R"({"channel_names":{"0":"T1","1":"T2"},"labels":{"background":0,"x":1,"y":2}})");
  const Dataset d = FindDataset(dir.path());
  ASSERT_EQ(d.cases.size(), 2u);
  EXPECT_THAT(d.channels, ElementsAre("T1", "T2"));
  EXPECT_EQ(d.cases[0].images[1].filename(), "a_0001.nii.gz");
  EXPECT_THAT(d.labels, ElementsAre(LabelName{1, "x"}, LabelName{2, "y"}));
}

TEST(FindDataset, LeavesOutWhatHasNoPartnerAndSaysSo) {
  const testing::ScratchDir dir;
  WriteImage(dir / "images/a.nii.gz", 1);
  WriteImage(dir / "images/lonely.nii.gz", 1);
  WriteImage(dir / "labels/a.nii.gz", 2);
  WriteImage(dir / "labels/orphan.nii.gz", 1);
  const Dataset d = FindDataset(dir.path());
  ASSERT_EQ(d.cases.size(), 1u);
  EXPECT_EQ(d.classes(), 2);  // the largest label that is there
  EXPECT_THAT(d.warnings, ElementsAre(HasSubstr("lonely"), HasSubstr("orphan")));
}

TEST(FindDataset, RefusesLabelsWithAGap) {
  const testing::ScratchDir dir;
  WriteImage(dir / "imagesTr/a.nii.gz", 1);
  WriteImage(dir / "labelsTr/a.nii.gz", 1);
  testing::WriteText(dir / "dataset.json", R"({"labels":{"0":"background","1":"x","3":"y"}})");
  EXPECT_THROW(FindDataset(dir.path()), DataError);
}

TEST(SplitFold, KeepsScansOfOneSubjectTogether) {
  std::vector<CaseFiles> cases;
  for (int n = 0; n < 40; ++n)
    cases.push_back({.id = std::to_string(n), .subject = "s" + std::to_string(n / 2)});
  std::vector<int> seen(40);
  for (int64_t fold = 0; fold < 5; ++fold) {
    const Split split = SplitFold(cases, fold, 0, 3);
    EXPECT_EQ(split.training.size() + split.validation.size(), 40u);
    for (const size_t v : split.validation) {
      ++seen[v];
      for (const size_t t : split.training) EXPECT_NE(cases[v].subject, cases[t].subject);
    }
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
}

TEST(SplitFold, SmallerLimitsArePartsOfLargerOnes) {
  std::vector<CaseFiles> cases;
  for (int n = 0; n < 30; ++n)
    cases.push_back({.id = std::to_string(n), .subject = std::to_string(n)});
  const Split small = SplitFold(cases, 1, 4, 9), large = SplitFold(cases, 1, 12, 9);
  EXPECT_EQ(small.training.size(), 4u);
  EXPECT_EQ(small.validation, large.validation);
  EXPECT_TRUE(std::includes(large.training.begin(), large.training.end(), small.training.begin(),
                            small.training.end()));
}

TEST(SplitFold, SaysWhereNothingIsLeftToTrain) {
  const std::vector<CaseFiles> one = {{.id = "a", .subject = "a"}};
  EXPECT_THROW(SplitFold(one, 0, 0, 3), DataError);
  EXPECT_EQ(SplitFold(one, -1, 0, 3).training.size(), 1u);
}

}  // namespace
}  // namespace orchard::segment
