// Which part of a template answered for a voxel: the best match of every voxel, and the attention
// of one.
//
// Source: docs/methods/siamese-seg.md (Correspondences).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/image.h"
#include "segment/predictor.h"

namespace orchard::segment {

// For every voxel of a prepared image the template token with the most similar key at the finest
// fused stage, of the window whose centre is nearest.
struct Correspondences {
  volume::Size3 size = {0, 0, 0};
  std::vector<std::string> templates;
  std::vector<uint16_t> which;    // [size]: 1 + index into templates
  std::vector<float> place;       // [3, size]: i, j, k in the template's prepared image, voxels
  std::vector<float> similarity;  // [size]: cosine, -1 to 1
};

// How much of the answer for one voxel came from where: sums to 1 over all templates.
struct VoxelAttention {
  size_t bank_case = 0;     // the template with the largest part
  double part = 0;          // of it
  std::vector<float> heat;  // of its voxels, the largest 1
  volume::Size3 hottest = {0, 0, 0};
};

// Looks into the attention of predictions. Only for networks with pairwise attention.
class AttentionView {
 public:
  // All outlive the view; `labels` [image.size] are what was predicted, of classes that `templates`
  // have. Throws UsageError for another kind of attention.
  AttentionView(Predictor& predictor, const TemplateNetwork& network, const TemplateBank& bank,
                const PreparedImage& image, std::span<const size_t> templates,
                std::span<const uint8_t> labels);

  Correspondences Find();
  VoxelAttention At(const volume::Size3& voxel);

  // Left to right, top to bottom: the image through `voxel` with the labels, and the template that
  // answered most, through its hottest voxel, with its own labels and the attention as heat.
  std::vector<std::byte> Draw(const volume::Size3& voxel, int64_t pixels);

 private:
  struct Window;
  // q and the templates' tokens for the window at `start`; those of the class `label` in context.
  Window Look(const volume::Size3& start, int64_t label);
  volume::Size3 NearestWindow(const volume::Size3& voxel) const;

  Predictor& predictor_;
  const TemplateNetwork& network_;
  const TemplateBank& bank_;
  const PreparedImage& image_;
  std::vector<size_t> templates_;
  std::span<const uint8_t> labels_;
  std::vector<int64_t> asked_;
  volume::WindowGrid grid_;
};

// An HDF5 file (docs/formats.md).
void WriteCorrespondences(const std::filesystem::path& file, const Correspondences& found,
                          const PreparedImage& image, const Plan& plan);

}  // namespace orchard::segment
