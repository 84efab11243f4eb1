// What is decided about a data set before anything is trained: at which spacing, in patches of
// which size, and with which stages a network sees it.
//
// Source: the rules of nnU-Net v2 (Isensee et al., Nature Methods 2021, and its source), restated
// in docs/methods/siamese-seg.md. Axes are i, j, k of the canonical image (right, anterior,
// superior).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "segment/dataset.h"
#include "volume/shape.h"

namespace orchard::segment {

// Two convolutions and what they are fed: stage 0 is the finest.
struct Stage {
  int64_t channels = 0;
  volume::Size3 kernel = {3, 3, 3};
  volume::Size3 stride = {1, 1, 1};  // of the stage's first convolution
  bool operator==(const Stage&) const = default;
};

// How the values of one channel become numbers around 0.
struct ChannelScale {
  std::string name;
  bool ct = false;  // fixed units: clip and shift by what the training set has; else per image
  double low = 0, high = 0;  // CT: 0.5th and 99.5th percentile of foreground voxels
  double mean = 0, deviation = 1;
  bool operator==(const ChannelScale&) const = default;
};

struct Plan {
  int64_t dims = 3;  // 2: slices k are images of their own
  std::string dataset;
  std::vector<ChannelScale> channels;
  std::vector<LabelName> labels;          // K foreground classes
  bool nonzero_mask = false;              // images are normalised within their non-zero voxels
  volume::Spacing3 spacing = {1, 1, 1};   // mm
  volume::Size3 median_size = {0, 0, 0};  // of images, cropped, at `spacing`
  volume::Size3 patch = {0, 0, 0};        // multiples of the product of strides
  int64_t batch = 2;
  std::vector<Stage> stages;
  int64_t training_bytes = 0;  // estimate, with template and optimiser
  // The fingerprint that decided.
  int64_t cases = 0;
  volume::Spacing3 median_spacing = {0, 0, 0}, coarsest_spacing = {0, 0, 0};

  int64_t classes() const { return static_cast<int64_t>(labels.size()); }
  // The size of the feature maps of a stage for one patch.
  volume::Size3 StageSize(size_t stage) const;
  bool operator==(const Plan&) const = default;
};

nlohmann::ordered_json ToJson(const Plan& plan);
// Throw DataError naming the file, or `where`.
Plan PlanFromJson(const nlohmann::json& json, const std::string& where);
Plan ReadPlan(const std::filesystem::path& file);
void WritePlan(const std::filesystem::path& file, const Plan& plan);

}  // namespace orchard::segment
