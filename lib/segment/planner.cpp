#include "segment/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/number_format.h"
#include "base/thread_pool.h"
#include "data/random_stream.h"
#include "io/medical/nifti.h"
#include "segment/prepare.h"

namespace orchard::segment {
namespace {

using volume::Size3;
using volume::Spacing3;

constexpr int64_t kValuesOfACase = 10000;

template <class T>
T Quantile(std::vector<T> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  const double part = at - static_cast<double>(low);
  return static_cast<T>((1 - part) * static_cast<double>(values[low]) +
                        part * static_cast<double>(values[high]));
}

std::vector<double> AxisOf(const std::vector<Spacing3>& spacings, size_t axis) {
  std::vector<double> values;
  values.reserve(spacings.size());
  for (const Spacing3& s : spacings) values.push_back(s[axis]);
  return values;
}

// The medians, but the 10th percentile along an axis that is more than three times as coarse as
// the others and has fewer than a third of their voxels.
Spacing3 TargetSpacing(const Fingerprint& f, const Spacing3& median) {
  Spacing3 target = median;
  Spacing3 size{};
  for (size_t a = 0; a < 3; ++a) {
    std::vector<double> sizes;
    for (const Size3& s : f.sizes) sizes.push_back(static_cast<double>(s[a]));
    size[a] = Quantile(sizes, 0.5);
  }
  const auto worst =
      static_cast<size_t>(std::max_element(target.begin(), target.end()) - target.begin());
  const size_t b = (worst + 1) % 3, c = (worst + 2) % 3;
  if (target[worst] > 3 * std::max(target[b], target[c]) &&
      size[worst] * 3 < std::min(size[b], size[c])) {
    target[worst] = Quantile(AxisOf(f.spacings, worst), 0.1);
    // Finer than the other axes would be no gain.
    target[worst] = std::max(target[worst], std::max(target[b], target[c]));
  }
  return target;
}

bool IsCt(const std::string& name) {
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower == "ct" || lower.starts_with("ct ") || lower.ends_with(" ct");
}

ChannelScale ScaleOf(const std::string& name, const std::vector<float>& foreground) {
  ChannelScale scale{.name = name, .ct = IsCt(name)};
  if (!scale.ct) return scale;
  if (foreground.empty())
    throw DataError("no foreground voxel in any label map", "channel " + name);
  double sum = 0, squares = 0;
  for (const float v : foreground) sum += v;
  scale.mean = sum / static_cast<double>(foreground.size());
  for (const float v : foreground) squares += (v - scale.mean) * (v - scale.mean);
  scale.deviation = std::sqrt(squares / static_cast<double>(foreground.size()));
  scale.low = Quantile(foreground, 0.005);
  scale.high = Quantile(foreground, 0.995);
  return scale;
}

// One step smaller along the axis that is largest against the median image.
Size3 Shrink(const Plan& plan, const std::vector<Stage>& stages) {
  Size3 unit = {1, 1, 1}, patch = plan.patch;
  for (const Stage& s : stages)
    for (size_t a = 0; a < 3; ++a) unit[a] *= s.stride[a];
  size_t axis = 0;
  double most = -1;
  for (size_t a = 0; a < (plan.dims == 2 ? 2u : 3u); ++a) {
    const double share = static_cast<double>(patch[a]) / static_cast<double>(plan.median_size[a]);
    if (patch[a] > unit[a] && share > most) {
      most = share;
      axis = a;
    }
  }
  patch[axis] -= most < 0 ? 0 : unit[axis];
  return patch;
}

std::string Text(const Size3& s) { return fmt::format("{},{},{}", s[0], s[1], s[2]); }

// The smallest patch that may be asked for: axes of about the finest spacing can be pooled once,
// and others keep the edge of a coarsest stage. No more than the median image.
Size3 SmallestPatch(const Plan& plan) {
  const size_t axes = plan.dims == 2 ? 2 : 3;
  const double finest =
      *std::min_element(plan.spacing.begin(), plan.spacing.begin() + static_cast<int64_t>(axes));
  Size3 least = {1, 1, 1};
  for (size_t a = 0; a < axes; ++a)
    least[a] = std::min<int64_t>(plan.spacing[a] > 2 * finest ? 4 : 8, plan.median_size[a]);
  return least;
}

// The largest patch that fits, from `plan.patch` down. False where none does.
bool Fit(Plan& plan, int64_t memory, int64_t base, int64_t stages, int64_t widest) {
  for (;;) {
    plan.stages = MakeStages(plan.spacing, plan.dims, base, stages, plan.patch, widest);
    plan.training_bytes = TrainingBytes(plan);
    if (plan.training_bytes <= memory) return true;
    const Size3 smaller = Shrink(plan, plan.stages);
    if (smaller == plan.patch) return false;
    plan.patch = smaller;
  }
}

}  // namespace

Fingerprint TakeFingerprint(const Dataset& dataset, int threads) {
  Fingerprint f;
  const size_t count = dataset.cases.size(), channels = dataset.channels.size();
  f.sizes.resize(count);
  f.spacings.resize(count);
  std::vector<double> shares(count);
  std::vector<std::vector<std::vector<float>>> values(count);
  ThreadPool pool(threads);
  pool.ForEach(static_cast<int64_t>(count), [&](int64_t n) {
    const auto at = static_cast<size_t>(n);
    const CaseFiles& files = dataset.cases[at];
    std::vector<io::Volume> volumes;
    for (const auto& file : files.images) volumes.push_back(io::ReadNifti(file).volume);
    const CroppedScan scan = CropScan(volumes, files.images.front().string());
    const std::vector<uint8_t> labels = CropLabels(io::ReadNifti(files.labels).volume, scan.frame,
                                                   dataset.classes(), files.labels.string());
    f.sizes[at] = scan.frame.crop.size();
    f.spacings[at] = scan.frame.spacing;
    shares[at] = static_cast<double>(volume::Voxels(f.sizes[at])) /
                 static_cast<double>(volume::Voxels(scan.frame.whole));
    std::vector<int64_t> foreground;
    for (size_t i = 0; i < labels.size(); ++i)
      if (labels[i] > 0) foreground.push_back(static_cast<int64_t>(i));
    values[at].resize(channels);
    data::RandomStream random(0, "fingerprint", static_cast<uint64_t>(n));
    const int64_t wanted = std::min<int64_t>(kValuesOfACase, std::ssize(foreground));
    for (int64_t draw = 0; draw < wanted; ++draw) {
      const int64_t voxel = wanted < kValuesOfACase ? foreground[static_cast<size_t>(draw)]
                                                    : foreground[random.Below(foreground.size())];
      for (size_t c = 0; c < channels; ++c)
        values[at][c].push_back(scan.channels[c][static_cast<size_t>(voxel)]);
    }
  });
  f.nonzero_share = Quantile(shares, 0.5);
  f.foreground.resize(channels);
  for (const auto& of_case : values)
    for (size_t c = 0; c < channels; ++c)
      f.foreground[c].insert(f.foreground[c].end(), of_case[c].begin(), of_case[c].end());
  return f;
}

std::vector<Stage> MakeStages(const Spacing3& spacing, int64_t dims, int64_t base_channels,
                              int64_t max_stages, Size3& patch, int64_t widest) {
  const size_t axes = dims == 2 ? 2 : 3;
  if (widest == 0) widest = dims == 2 ? 512 : 320;
  Spacing3 now = spacing;
  Size3 edge = patch, unit = {1, 1, 1};
  std::array<bool, 3> thin = {false, false, false};  // kernel 1 so far
  std::vector<Stage> stages;
  for (int64_t s = 0; s < max_stages; ++s) {
    Stage stage{.channels = std::min(base_channels << s, widest)};
    const double finest = *std::min_element(now.begin(), now.begin() + static_cast<int64_t>(axes));
    bool pools = false;
    for (size_t a = 0; a < axes && s > 0; ++a) {
      if (now[a] > 2 * finest || edge[a] < 8) continue;
      stage.stride[a] = 2;
      pools = true;
    }
    if (s > 0 && !pools) break;
    for (size_t a = 0; a < 3; ++a) {
      thin[a] = a >= axes || (now[a] > 2 * finest && (s == 0 || thin[a]));
      stage.kernel[a] = thin[a] ? 1 : 3;
      if (stage.stride[a] == 1) continue;
      now[a] *= 2;
      edge[a] = (edge[a] + 1) / 2;
      unit[a] *= 2;
    }
    stages.push_back(stage);
  }
  for (size_t a = 0; a < 3; ++a) patch[a] = (patch[a] + unit[a] - 1) / unit[a] * unit[a];
  return stages;
}

int64_t TrainingBytes(const Plan& plan) {
  double activations = 0, parameters = 0, largest = 0;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    const auto map = static_cast<double>(volume::Voxels(plan.StageSize(s)) * stage.channels);
    // Two convolutions with their norms, in both encoders and, but at the coarsest, the decoder,
    // which also holds the concatenation.
    const bool decoded = s + 1 < plan.stages.size();
    activations += map * (4 + 4 + (decoded ? 4 + 4 : 0));
    largest = std::max(largest, map);
    const auto kernel = static_cast<double>(volume::Voxels(stage.kernel));
    const auto channels = static_cast<double>(stage.channels);
    const double below = s == 0 ? static_cast<double>(plan.channels.size())
                                : static_cast<double>(plan.stages[s - 1].channels);
    parameters += kernel * channels * (below + channels);
    if (decoded) parameters += kernel * channels * 3 * channels;
  }
  const auto batch = static_cast<double>(plan.batch);
  // The logits, their probabilities and gradients; gradients of maps and the convolutions' own
  // copies: ten of the largest map, by measurement.
  const auto voxels = static_cast<double>(volume::Voxels(plan.patch));
  const double logits = 3 * static_cast<double>(plan.classes() + 1) * voxels;
  return static_cast<int64_t>(4 * (batch * (activations + logits + 10 * largest) + 4 * parameters));
}

std::optional<Size3> PatchWithin(Plan plan, int64_t memory) {
  const int64_t base = plan.stages.front().channels;
  int64_t widest = 0;
  for (const Stage& stage : plan.stages) widest = std::max(widest, stage.channels);
  if (!Fit(plan, memory, base, std::ssize(plan.stages), widest)) return {};
  return plan.patch;
}

Plan MakePlan(const Dataset& dataset, const Fingerprint& fingerprint, const PlanOptions& options) {
  Plan plan;
  plan.dataset = dataset.name;
  plan.labels = dataset.labels;
  plan.cases = std::ssize(dataset.cases);
  plan.nonzero_mask = fingerprint.nonzero_share < 0.75;
  for (size_t a = 0; a < 3; ++a) {
    const std::vector<double> axis = AxisOf(fingerprint.spacings, a);
    plan.median_spacing[a] = Quantile(axis, 0.5);
    plan.coarsest_spacing[a] = *std::max_element(axis.begin(), axis.end());
  }
  plan.spacing = TargetSpacing(fingerprint, plan.median_spacing);
  for (size_t a = 0; a < 3; ++a) {
    std::vector<double> sizes;
    for (size_t n = 0; n < fingerprint.sizes.size(); ++n) {
      sizes.push_back(static_cast<double>(fingerprint.sizes[n][a]) * fingerprint.spacings[n][a] /
                      plan.spacing[a]);
    }
    plan.median_size[a] = std::max<int64_t>(1, std::llround(Quantile(sizes, 0.5)));
  }
  for (size_t c = 0; c < dataset.channels.size(); ++c) {
    plan.channels.push_back(ScaleOf(dataset.channels[c], fingerprint.foreground[c]));
  }
  // Fewer slices than two poolings need carry little along k.
  const bool slices = plan.median_size[2] < 8 && plan.spacing[2] > 3 * plan.spacing[0];
  plan.dims = options.dims == Dimensions::kAuto ? (slices ? 2 : 3)
                                                : (options.dims == Dimensions::k2 ? 2 : 3);
  const bool tiny = options.preset == NetworkPreset::kTiny;
  const bool paper = options.preset == NetworkPreset::kPaper2d;
  if (paper && options.dims == Dimensions::k3)
    throw UsageError("paper2d is a network of slices", "--dims", "leave it out");
  if (paper) plan.dims = 2;
  plan.batch = options.batch.value_or(paper ? 8 : plan.dims == 2 ? 12 : 2);
  const int64_t base = options.base_channels.value_or(tiny ? 16 : paper ? 64 : 32);
  const int64_t stages = options.max_stages.value_or(tiny ? 4 : paper ? 5 : 6);
  const int64_t widest = paper ? 1024 : 0;
  plan.patch = plan.median_size;
  if (!options.patch.empty()) {
    if (options.patch.size() != 3) throw UsageError("three sizes are wanted", "--patch", "i,j,k");
    std::copy(options.patch.begin(), options.patch.end(), plan.patch.begin());
  }
  if (plan.dims == 2) plan.patch[2] = 1;
  const Size3 least = SmallestPatch(plan);
  for (size_t a = 0; a < 3 && !options.patch.empty(); ++a) {
    if (plan.patch[a] < least[a]) {
      throw UsageError("a patch of " + Text(plan.patch) + " is too small for the network",
                       "--patch", "at least " + Text(least));
    }
  }
  const Size3 asked = plan.patch;
  const bool fits = Fit(plan, options.memory, base, stages, widest);
  if (!fits) {
    throw ResourceError(
        fmt::format("no patch fits into {}: the smallest, {}, takes {}",
                    FormatBytes(static_cast<uint64_t>(options.memory)), Text(plan.patch),
                    FormatBytes(static_cast<uint64_t>(plan.training_bytes))),
        "--memory", "fewer channels, a smaller batch, or more memory");
  }
  Plan wanted = plan;
  wanted.patch = asked;
  wanted.stages = MakeStages(plan.spacing, plan.dims, base, stages, wanted.patch, widest);
  if (!options.patch.empty() && wanted.patch != plan.patch) {
    throw ResourceError(
        fmt::format("a patch of {} takes about {} to train, {} are allowed", Text(wanted.patch),
                    FormatBytes(static_cast<uint64_t>(TrainingBytes(wanted))),
                    FormatBytes(static_cast<uint64_t>(options.memory))),
        "--patch", "the largest that fits is " + Text(plan.patch));
  }
  return plan;
}

}  // namespace orchard::segment
