// Which labelled examples steer the segmentation of an image, and which part of one a window gets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/prepared_case.h"

namespace orchard::segment {

enum class TemplateSelect { kMedoid, kNearest, kRandom, kFixed };
inline constexpr cli::EnumName<TemplateSelect> kTemplateSelectNames[] = {
    {"medoid", TemplateSelect::kMedoid},
    {"nearest", TemplateSelect::kNearest},
    {"random", TemplateSelect::kRandom},
    {"fixed", TemplateSelect::kFixed}};
constexpr auto EnumNames(TemplateSelect) { return std::span(kTemplateSelectNames); }

enum class TemplateAlign { kRelative, kGlobal, kSearch };
inline constexpr cli::EnumName<TemplateAlign> kTemplateAlignNames[] = {
    {"relative", TemplateAlign::kRelative},
    {"global", TemplateAlign::kGlobal},
    {"search", TemplateAlign::kSearch}};
constexpr auto EnumNames(TemplateAlign) { return std::span(kTemplateAlignNames); }

// For each case the mean foreground Dice of its labels, resized, with those of all others.
std::vector<double> MedoidScores(std::span<const PreparedCase> cases, int64_t classes);

// Indices into `bank` of the templates for an image: `count` of them, best first. Cases of
// `subject` are never taken.
//   medoid   by `scores` (of MedoidScores)       nearest  by the thumbnails
//   random   drawn by (seed, image's thumbnail)  fixed    the case with id `fixed`
// Throws UsageError where there is no case left, or none of that id.
struct TemplateQuery {
  TemplateSelect select = TemplateSelect::kMedoid;
  int64_t count = 1;
  std::string fixed;
  uint64_t seed = 0;
};
std::vector<size_t> ChooseTemplates(std::span<const PreparedCase> bank,
                                    std::span<const double> scores, const TemplateQuery& query,
                                    std::span<const float> thumbnail, const std::string& subject);

// Where a window of `patch` voxels begins in a template, so that its centre has the same place in
// the template's body as the target window's in the target's. In steps of an eighth of the body
// where `quantise`, so that windows share crops. A template smaller than the window is centred.
volume::Size3 RelativeStart(const volume::Box& target_body, const volume::Size3& target_start,
                            const volume::Box& template_body, const volume::Size3& template_size,
                            const volume::Size3& patch, bool quantise);

// The start that keeps a window within an axis, or centres a window longer than it.
int64_t ClampStart(int64_t start, int64_t size, int64_t patch);

}  // namespace orchard::segment
