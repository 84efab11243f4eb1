// Making a plan from a data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/plan.h"

namespace orchard::segment {

// Width and depth of the network.
enum class NetworkPreset { kTiny, kBase, kPaper2d };
inline constexpr cli::EnumName<NetworkPreset> kNetworkPresetNames[] = {
    {"tiny", NetworkPreset::kTiny},
    {"base", NetworkPreset::kBase},
    {"paper2d", NetworkPreset::kPaper2d}};
constexpr auto EnumNames(NetworkPreset) { return std::span(kNetworkPresetNames); }

enum class Dimensions { kAuto, k2, k3 };
inline constexpr cli::EnumName<Dimensions> kDimensionsNames[] = {
    {"auto", Dimensions::kAuto}, {"2", Dimensions::k2}, {"3", Dimensions::k3}};
constexpr auto EnumNames(Dimensions) { return std::span(kDimensionsNames); }

struct PlanOptions {
  std::filesystem::path data;
  std::optional<std::filesystem::path> output;
  Dimensions dims = Dimensions::kAuto;
  NetworkPreset preset = NetworkPreset::kTiny;
  std::optional<int64_t> base_channels, max_stages, batch;
  std::vector<int64_t> patch;
  int64_t memory = 8'000'000'000;
  int64_t fold = -1;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("data", data, "folder of a data set (nnU-Net, Medical Decathlon, images/labels)");
    f("output", output, "plan file (default: DATA/plan.json)", cli::Letter('o'));
    f("dims", dims, "2: slices, 3: volumes, auto: 2 where slices are much thicker than pixels");
    f("preset", preset,
      "tiny: 16 channels, up to 4 stages; base: 32, up to 6; paper2d: slices, 64 to 1024 in 5 "
      "stages, for configs/siamese-seg/paper2d.toml");
    f("base_channels", base_channels, "channels of the finest stage", cli::Between(1, 512));
    f("max_stages", max_stages, "stages, at most", cli::Between(1, 8));
    f("batch", batch, "patches in a training step (default 2; slices: as memory allows)",
      cli::AtLeast(1));
    f("patch", patch, "patch along i,j,k in voxels (default: the median image, as memory allows)",
      cli::AtLeast(1));
    f("memory", memory, "bytes that training may take", cli::Bytes(1e6));
    f("fold", fold, "statistics without the validation cases of this fold of train (-1: all cases)",
      cli::Between(-1, 4));
  }
};

// What is measured of the cases, in the order of their ids.
struct Fingerprint {
  std::vector<volume::Size3> sizes;        // cropped to what is not zero
  std::vector<volume::Spacing3> spacings;  // mm
  double nonzero_share = 1;                // median part of the volume that the crop keeps
  // Of each channel: a sample of foreground values over all cases.
  std::vector<std::vector<float>> foreground;
};

// Reads every case. `fold` as in SplitFold of segment/folds.h. Throws as the readers and
// prepare.h.
Fingerprint TakeFingerprint(const Dataset& dataset, int threads);

// Throws ResourceError where a patch was asked for that does not fit, saying which one does;
// UsageError where it is smaller than 8 voxels (4 along axes more than twice as coarse as the
// finest) and than the median image.
Plan MakePlan(const Dataset& dataset, const Fingerprint& fingerprint, const PlanOptions& options);

// Strides and kernels for a patch of about this size at this spacing; rounds `patch` up to what the
// strides divide. An axis is pooled while its spacing is within a factor two of the finest and its
// edge stays at least 4; it gets kernels of 1 while its spacing is more than twice the finest.
// `widest` channels at most; 0: 512 of slices, 320 of volumes.
std::vector<Stage> MakeStages(const volume::Spacing3& spacing, int64_t dims, int64_t base_channels,
                              int64_t max_stages, volume::Size3& patch, int64_t widest = 0);

// Bytes of a training step: activations that autograd keeps, for image and template, parameters
// with gradient and two moments, and the largest temporary.
int64_t TrainingBytes(const Plan& plan);

// The patch to which the plan's has to shrink so that training stays within `memory`; nothing where
// no patch does.
std::optional<volume::Size3> PatchWithin(Plan plan, int64_t memory);

}  // namespace orchard::segment
