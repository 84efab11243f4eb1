#include "segment/repro/cohort.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "data/random_stream.h"
#include "io/medical/nifti.h"
#include "segment/planner.h"

namespace orchard::segment::repro {
namespace {

// Which patients test is the same for everybody.
constexpr uint64_t kTestSeed = 0;
constexpr int64_t kTestFold = 0;

TestScan ReadTestScan(const CaseFiles& files, const Plan& plan) {
  ThreadPool pool(1);
  PreparedCase c = LoadCase(files, plan, pool);
  TestScan scan{.id = c.id, .subject = c.subject};
  scan.image = std::move(c.image);
  scan.thumbnail = std::move(c.thumbnail);
  // On the scan's own voxels, whatever the plan's spacing.
  const io::Volume labels = io::ReadNifti(files.labels).volume;
  CaseFrame whole = scan.image.frame;
  whole.crop = {{0, 0, 0}, whole.whole};
  const std::vector<uint8_t> all = CropLabels(labels, whole, plan.classes(), files.labels.string());
  scan.labels.assign(all.begin(), all.end());
  return scan;
}

}  // namespace

Cohort ReadCohort(const std::filesystem::path& folder, bool quick, int threads) {
  const Dataset dataset = FindDataset(folder);
  if (dataset.cases.size() < 10) {
    throw DataError("ten labelled cases are needed at least", folder.string());
  }
  const Split split = SplitFold(dataset.cases, kTestFold, 0, kTestSeed);
  Dataset training = dataset;
  training.cases.clear();
  for (const size_t n : split.training) training.cases.push_back(dataset.cases[n]);
  PlanOptions options;
  options.data = folder;
  if (quick) {
    options.base_channels = 8;
    options.max_stages = 3;
  }
  Cohort cohort;
  cohort.plan = MakePlan(training, TakeFingerprint(training, threads), options);
  cohort.training = LoadCases(training.cases, cohort.plan, threads);
  cohort.test.resize(split.validation.size());
  ThreadPool pool(threads);
  pool.ForEach(std::ssize(cohort.test), [&](int64_t n) {
    const auto at = static_cast<size_t>(n);
    cohort.test[at] = ReadTestScan(dataset.cases[split.validation[at]], cohort.plan);
  });
  return cohort;
}

std::vector<size_t> Cohort::Order(int64_t size, uint64_t seed) const {
  std::vector<size_t> order(training.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  data::RandomStream random(seed, "training cases", 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  order.resize(std::min(order.size(), static_cast<size_t>(size)));
  return order;
}

std::vector<PreparedCase> Cohort::Draw(int64_t size, uint64_t seed) const {
  std::vector<PreparedCase> drawn;
  for (const size_t n : Order(size, seed)) drawn.push_back(training[n]);
  return drawn;
}

std::string Cohort::SplitJson(int64_t size, uint64_t seed) const {
  nlohmann::ordered_json split;
  for (const size_t n : Order(size, seed)) split["train"].push_back(training[n].id);
  for (const TestScan& scan : test) split["validation"].push_back(scan.id);
  return split.dump(1) + "\n";
}

std::vector<volume::Metrics> Measure(std::span<const uint8_t> predicted, const TestScan& scan,
                                     int64_t classes, ThreadPool& pool) {
  const std::vector<uint16_t> wide(predicted.begin(), predicted.end());
  std::vector<volume::Region> regions;
  for (int64_t c = 1; c <= classes; ++c) regions.push_back({std::to_string(c), {c}});
  return volume::CompareLabels(wide, scan.labels, scan.image.frame.whole, scan.image.frame.spacing,
                               regions, {.tolerances = {1}}, pool);
}

}  // namespace orchard::segment::repro
