// The scans that experiments train and test on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "segment/plan.h"
#include "segment/prepared_case.h"
#include "volume/metrics.h"

namespace orchard::segment::repro {

struct TestScan {
  std::string id, subject;
  PreparedImage image;
  std::vector<float> thumbnail;
  std::vector<uint16_t> labels;  // of the turned scan, frame.whole
};

struct Cohort {
  Plan plan;  // of the training cases alone
  std::vector<PreparedCase> training;
  std::vector<TestScan> test;

  // The first `size` training cases in the order that `seed` shuffles them to, so that fewer cases
  // are a part of more.
  std::vector<PreparedCase> Draw(int64_t size, uint64_t seed) const;
  // The same training cases and all test cases, as `train --split` reads them.
  std::string SplitJson(int64_t size, uint64_t seed) const;

 private:
  std::vector<size_t> Order(int64_t size, uint64_t seed) const;
};

// Every fifth subject of an order that does not depend on any seed tests. `quick`: a network of 8
// channels and three stages. Throws as the readers; DataError where there are fewer than ten cases.
Cohort ReadCohort(const std::filesystem::path& folder, bool quick, int threads);

// All classes of one predicted label map, by the program's own metrics.
std::vector<volume::Metrics> Measure(std::span<const uint8_t> predicted, const TestScan& scan,
                                     int64_t classes, ThreadPool& pool);

}  // namespace orchard::segment::repro
