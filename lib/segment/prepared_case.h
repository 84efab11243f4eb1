// Labelled cases in memory, ready to be sampled, and the division into folds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "segment/prepare.h"

namespace orchard::segment {

// A training case or a template.
struct PreparedCase {
  std::string id, subject;
  PreparedImage image;
  std::vector<uint8_t> labels;                   // of image.size
  std::vector<std::vector<int32_t>> foreground;  // voxels of class k + 1, at most kForegroundVoxels
  std::vector<float> thumbnail;                  // see Thumbnail
  std::string group;  // templates in training are of the target's group; all the same by default

  bool Has(int64_t label) const { return !foreground[static_cast<size_t>(label - 1)].empty(); }
};

inline constexpr int64_t kForegroundVoxels = 10000;

// Reads and prepares one case. Throws as the readers and prepare.h.
PreparedCase LoadCase(const CaseFiles& files, const Plan& plan, ThreadPool& pool);

// Fills `foreground` and `thumbnail` from image and labels. Where a class has too many voxels, an
// even choice of them.
void IndexCase(PreparedCase& c, int64_t classes);

// Reads several, a case a thread. The first problem is thrown.
std::vector<PreparedCase> LoadCases(std::span<const CaseFiles> files, const Plan& plan,
                                    int threads);

// The image averaged to boxes of 12x16x12 (slices: 32x32x1) and standardised to norm 1: the scalar
// product of two is the Pearson correlation of what they show.
std::vector<float> Thumbnail(const PreparedImage& image);
double Similarity(std::span<const float> thumbnail, std::span<const float> other);

struct Split {
  std::vector<size_t> training, validation;  // ascending
};

// Subjects, not scans, are divided into five folds, in an order shuffled by `seed`. fold 0 to 4
// validates on that one; -1 trains on everything. `limit` > 0 keeps that many training cases, the
// first of the shuffled order, so that a smaller limit is a subset of a larger one. Throws
// DataError where no training case is left.
Split SplitFold(const std::vector<CaseFiles>& cases, int64_t fold, int64_t limit, uint64_t seed);

// The division of a JSON file: {"train": [ids], "validation": [ids]}, other keys ignored; `limit`
// as above, in the file's order. Throws DataError: not such a file, unknown ids, a subject on both
// sides.
Split ReadSplit(const std::filesystem::path& file, const std::vector<CaseFiles>& cases,
                int64_t limit);

}  // namespace orchard::segment
