// Which images make a volume, in which order, on which grid: from positions alone.
#include "io/medical/dicom_series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "io/medical/orientation.h"

namespace orchard::io {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

DicomFrame Slice(int number, double z) {
  DicomFrame frame;
  frame.file = "s" + std::to_string(number) + ".dcm";
  frame.sop_instance_uid = "1.1." + std::to_string(number);
  frame.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2";
  frame.series_uid = "1.1";
  frame.study_uid = "1";
  frame.variant.resize(6);
  frame.rows = 10;
  frame.columns = 20;
  frame.position = {-50, -60, z};
  frame.along_row = {1, 0, 0};
  frame.along_column = {0, 1, 0};
  frame.spacing = {0.5, 0.75};
  frame.slice_thickness = 3;
  return frame;
}

std::vector<DicomFrame> Stack(const std::vector<double>& heights) {
  std::vector<DicomFrame> frames;
  for (double z : heights) frames.push_back(Slice(static_cast<int>(frames.size()), z));
  return frames;
}

TEST(GroupSeries, SortsByPositionAndTakesTheStepFromPositions) {
  const auto series = GroupSeries(Stack({4, 0, 2, 6}));  // thickness says 3, numbers say otherwise
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].frames[0].file, "s1.dcm");
  EXPECT_EQ(series[0].frames[3].file, "s3.dcm");
  EXPECT_EQ(series[0].grid.size, (std::array<int64_t, 3>{20, 10, 4}));
  EXPECT_EQ(series[0].grid.affine.Spacing(), (Vec3{0.75, 0.5, 2}));
  // LPS to RAS: the first pixel lies 50 mm to the right and 60 mm in front.
  EXPECT_EQ(series[0].grid.affine.Origin(), (Vec3{50, 60, 0}));
  EXPECT_EQ(OrientationCode(series[0].grid.affine), "LPS");
  EXPECT_THAT(series[0].warnings, IsEmpty());
}

RC_GTEST_PROP(GroupSeries, TheOrderOfFilesPlaysNoPart, ()) {
  std::vector<DicomFrame> frames = Stack({0, 1, 2, 3, 4, 5});
  for (DicomFrame& frame : Stack({0, 3, 6, 9})) {
    frame.sop_instance_uid += ".9";
    frame.along_row = {0, 1, 0};
    frame.along_column = {0, 0, -1};
    frame.position = {frame.position[2], 0, 0};
    frames.push_back(frame);
  }
  const auto ordered = GroupSeries(frames);
  std::vector<size_t> order(frames.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = order.size() - 1; i > 0; --i)
    std::swap(order[i], order[*rc::gen::inRange<size_t>(0, i + 1)]);
  std::vector<DicomFrame> shuffled;
  for (size_t i : order) shuffled.push_back(frames[i]);
  const auto series = GroupSeries(shuffled);
  RC_ASSERT(series.size() == 2u);
  for (size_t s = 0; s < 2; ++s) {
    RC_ASSERT(series[s].id == ordered[s].id);
    RC_ASSERT(series[s].grid == ordered[s].grid);
    for (size_t f = 0; f < series[s].frames.size(); ++f)
      RC_ASSERT(series[s].frames[f].file == ordered[s].frames[f].file);
  }
}

TEST(GroupSeries, ObliqueSlicesSortAlongTheirNormal) {
  const double s = std::sqrt(0.5);
  std::vector<DicomFrame> frames;
  for (int n : {2, 0, 1}) {
    DicomFrame frame = Slice(n, 0);
    frame.along_row = {1, 0, 0};
    frame.along_column = {0, s, s};
    frame.position = {5, -s * 4 * n, s * 4 * n};  // along the normal (0, -s, s)
    frames.push_back(frame);
  }
  const auto series = GroupSeries(frames);
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].frames[0].file, "s0.dcm");
  EXPECT_NEAR(series[0].grid.affine.Spacing()[2], 4, 1e-9);
  EXPECT_LT(series[0].grid.affine.Shear(), 1e-9);
  EXPECT_NEAR(series[0].tilt_degrees, 0, 1e-5);
}

TEST(GroupSeries, AMissingSliceIsAGapThatSaysWhere) {
  const auto series = GroupSeries(Stack({0, 2, 4, 8, 10}));
  EXPECT_THAT(series[0].gap, HasSubstr("1 slice missing, between 4.000 mm (s2.dcm) and 8.000 mm"));
  EXPECT_FALSE(series[0].uniform);
  EXPECT_EQ(series[0].grid.size[2], 6);  // what --allow-gaps interpolates to
}

TEST(GroupSeries, MostOfAVolumeIsNotInterpolated) {
  EXPECT_THAT(GroupSeries(Stack({0, 0.01, 300}))[0].problem,
              HasSubstr("would have to be made of 3"));
}

TEST(GroupSeries, UnevenStepsAreInterpolatedWithAWarning) {
  const auto series = GroupSeries(Stack({0, 2, 4.1, 6, 8}));
  EXPECT_THAT(series[0].gap, IsEmpty());
  EXPECT_FALSE(series[0].uniform);
  EXPECT_THAT(series[0].warnings, Contains(HasSubstr("vary by 5.0 %")));
  // Rounded positions, within 1 %, are no reason.
  EXPECT_TRUE(GroupSeries(Stack({0, 2, 4.01, 6, 8}))[0].uniform);
}

TEST(GroupSeries, ATiltedGantryShearsTheAffineAndMovesNothing) {
  std::vector<DicomFrame> frames = Stack({0, 0, 0});
  for (size_t i = 0; i < 3; ++i)
    frames[i].position = {0, 5.0 * static_cast<double>(i) * std::tan(15 * M_PI / 180),
                          5.0 * static_cast<double>(i)};
  const auto series = GroupSeries(frames);
  EXPECT_NEAR(series[0].tilt_degrees, 15, 1e-9);
  EXPECT_TRUE(series[0].uniform);
  EXPECT_THAT(series[0].warnings, Contains(HasSubstr("tilted by 15.0 degrees")));
  for (size_t k = 0; k < 3; ++k) {
    const Vec3 p = series[0].grid.affine({0, 0, static_cast<double>(k)});
    EXPECT_NEAR(-p[1], series[0].frames[k].position[1], 1e-9);
    EXPECT_NEAR(p[2], series[0].frames[k].position[2], 1e-9);
  }
}

TEST(GroupSeries, SlicesOffTheLineAreAProblem) {
  std::vector<DicomFrame> frames = Stack({0, 2, 4, 6});
  frames[2].position[0] += 3;
  EXPECT_THAT(GroupSeries(frames)[0].problem, HasSubstr("s2.dcm is 3.000 mm off"));
}

TEST(GroupSeries, ACopyOfAnInstanceCountsOnce) {
  std::vector<DicomFrame> frames = Stack({0, 2, 4});
  frames.push_back(frames[1]);
  frames.back().file = "copy.dcm";
  const auto series = GroupSeries(frames);
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].frames.size(), 3u);
  EXPECT_THAT(series[0].warnings, Contains(HasSubstr("is a copy of")));
}

TEST(GroupSeries, TwoEchoesAreTwoVolumes) {
  std::vector<DicomFrame> frames = Stack({0, 2, 4, 0, 2, 4});
  for (size_t i = 0; i < 6; ++i) frames[i].variant[3] = i < 3 ? "10" : "80";
  const auto series = GroupSeries(frames);
  ASSERT_EQ(series.size(), 2u);
  EXPECT_EQ(series[0].variant, "echo time 10");
  EXPECT_EQ(series[1].variant, "echo time 80");
  EXPECT_EQ(series[0].id, "1.1");
  EXPECT_EQ(series[1].id, "1.1/2");
  EXPECT_THAT(series[1].problem, IsEmpty());
}

TEST(GroupSeries, TwoSlicesInOnePlaceThatNothingTellsApartAreAProblem) {
  const auto series = GroupSeries(Stack({0, 2, 2, 4}));
  ASSERT_EQ(series.size(), 1u);
  EXPECT_THAT(series[0].problem, HasSubstr("two slices at 2.000 mm"));
  EXPECT_THAT(series[0].problem, HasSubstr("s1.dcm and s2.dcm"));
}

TEST(GroupSeries, SizesOrientationsAndScoutsStandApart) {
  std::vector<DicomFrame> frames = Stack({0, 2, 4, 6, 8});
  frames[3].rows = 11;
  frames[4].image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
  const auto series = GroupSeries(frames);
  ASSERT_EQ(series.size(), 3u);
  EXPECT_EQ(std::count_if(series.begin(), series.end(), [](const auto& s) { return s.localizer; }),
            1);
}

TEST(GroupSeries, WithoutASeriesUidStudyAndGeometryGroup) {
  std::vector<DicomFrame> frames = Stack({0, 2, 0, 2});
  for (DicomFrame& frame : frames) frame.series_uid.clear();
  frames[2].study_uid = frames[3].study_uid = "2";
  const auto series = GroupSeries(frames);
  ASSERT_EQ(series.size(), 2u);
  EXPECT_THAT(series[0].warnings, Contains(HasSubstr("no SeriesInstanceUID")));
  EXPECT_NE(series[0].id, series[1].id);
}

TEST(GroupSeries, ASingleSliceTakesItsThickness) {
  EXPECT_EQ(GroupSeries(Stack({7}))[0].grid.affine.Spacing()[2], 3);
  std::vector<DicomFrame> thin = Stack({7});
  thin[0].slice_thickness = 0;
  const auto series = GroupSeries(thin);
  EXPECT_EQ(series[0].grid.affine.Spacing()[2], 1);
  EXPECT_THAT(series[0].warnings, Contains(HasSubstr("1 mm assumed")));
}

TEST(ChooseSeries, ByUidEndDescriptionAndNumber) {
  DicomScan scan;
  std::vector<DicomFrame> frames = Stack({0, 2});
  for (DicomFrame& frame : Stack({0, 2})) {
    frame.series_uid = "1.2.840.777";
    frame.series_description = "T2 axial";
    frames.push_back(frame);
  }
  scan.series = GroupSeries(frames);
  const DicomSeries& t2 = scan.series[1];
  for (const char* wanted : {"1.2.840.777", "0.777", "t2 AXIAL", "#2"})
    EXPECT_EQ(&ChooseSeries(scan, wanted, "folder"), &t2) << wanted;
  try {
    ChooseSeries(scan, "", "folder");
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("2 series where one is wanted"));
    EXPECT_THAT(error.what(), HasSubstr("#2 T2 axial"));
  }
  EXPECT_THROW(ChooseSeries(scan, "#3", "folder"), DataError);
}

TEST(ChooseSeries, ALocalizerIsNotMeantUnlessAsked) {
  DicomScan scan;
  std::vector<DicomFrame> frames = Stack({0, 2, 4});
  frames[2].image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
  scan.series = GroupSeries(frames);
  EXPECT_FALSE(ChooseSeries(scan, "", "folder").localizer);
}

}  // namespace
}  // namespace orchard::io
