#include "segment/predictor.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "nn/fused_launch.h"
#include "segment/augment.h"
#include "volume/components.h"
#include "volume/label_export.h"
#include "volume/resize.h"
#include "volume/sliding_window.h"

namespace orchard::segment {
namespace {

using volume::Size3;

// Crops start here where a whole template fills the window.
constexpr int64_t kWhole = std::numeric_limits<int64_t>::min();

at::Tensor FloatTensor(std::vector<float>& values, int64_t channels, const Size3& size) {
  return at::from_blob(values.data(), {1, channels, size[2], size[1], size[0]}, at::kFloat);
}

at::Tensor LabelTensor(std::vector<uint8_t>& values, const Size3& size) {
  return at::from_blob(values.data(), {1, size[2], size[1], size[0]}, at::kByte);
}

// A whole image stretched over one window.
std::vector<float> Stretch(const PreparedImage& image, const Size3& patch, ThreadPool& pool) {
  using volume::Interpolation;
  const auto voxels = static_cast<size_t>(volume::Voxels(image.size));
  std::vector<float> all;
  for (int64_t m = 0; m < image.channels; ++m) {
    const auto channel =
        std::span<const float>(image.values).subspan(static_cast<size_t>(m) * voxels, voxels);
    const std::vector<float> one = volume::Resize(
        channel, image.size, patch,
        {Interpolation::kLinear, Interpolation::kLinear, Interpolation::kLinear}, pool);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// Middles of cells along i, j, k as parts of the whole: [N, 3] for a map of K x J x I cells.
at::Tensor CellPlaces(int64_t k, int64_t j, int64_t i, c10::Device device) {
  const auto middles = [device](int64_t n) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
    return (at::arange(n, options) + 0.5) / static_cast<double>(n);
  };
  const std::vector<at::Tensor> grid = at::meshgrid({middles(k), middles(j), middles(i)}, "ij");
  return at::stack({grid[2].flatten(), grid[1].flatten(), grid[0].flatten()}, 1);
}

// Flips the last three axes, K J I: bit a of `flips` is axis i, j, k.
at::Tensor Flip(const at::Tensor& x, int64_t flips) {
  std::vector<int64_t> axes;
  for (int64_t a = 0; a < 3; ++a)
    if (flips >> a & 1) axes.push_back(x.dim() - 1 - a);
  return axes.empty() ? x : x.flip(axes);
}

volume::WindowGrid MakeGrid(const PreparedImage& image, const Plan& plan, double step) {
  volume::WindowGrid grid(image.size, plan.patch, step);
  if (plan.dims == 2) {
    // Slices do not overlap.
    grid.starts[2].resize(static_cast<size_t>(image.size[2]));
    for (int64_t k = 0; k < image.size[2]; ++k) grid.starts[2][static_cast<size_t>(k)] = k;
  }
  return grid;
}

volume::LabelExportArgs ExportArgs(const PreparedImage& image, const Plan& plan) {
  const Size3 to = image.frame.crop.size();
  volume::Spacing3 target = plan.spacing;
  if (plan.dims == 2) target[2] = image.frame.spacing[2];
  const volume::Interpolation3 how =
      InterpolationFor(image.frame.spacing, target, volume::Interpolation::kLinear);
  volume::LabelExportArgs args;
  args.classes = plan.classes() + 1;
  for (size_t a = 0; a < 3; ++a) {
    const bool nearest = how[a] == volume::Interpolation::kNearest;
    args.axes[a] = nearest ? volume::NearestAxis(image.size[a], to[a])
                           : volume::StretchedAxis(image.size[a], to[a]);
  }
  args.size = image.frame.whole;
  args.at = image.frame.crop.lo;
  return args;
}

}  // namespace

Predictor::Predictor(const TemplateNetwork& network, const TemplateBank& bank,
                     const InferenceOptions& options, uint64_t seed, ThreadPool& pool)
    : network_(network), bank_(bank), options_(options), seed_(seed), pool_(pool) {
  if (network.uses_template() && bank.cases.empty()) {
    throw UsageError("the network needs a template and there is none", "--template");
  }
}

std::vector<size_t> Predictor::Choose(const PreparedImage& image,
                                      const std::string& subject) const {
  if (!network_.uses_template()) return {};
  const TemplateQuery query{options_.select, options_.templates, options_.fixed, seed_};
  return ChooseTemplates(bank_.cases, bank_.scores, query, Thumbnail(image), subject);
}

const std::vector<TemplateTokens>& Predictor::Encode(const Crop& crop) {
  if (const auto found = cache_.find(crop); found != cache_.end()) return found->second;
  const PreparedCase& c = bank_.cases[crop.bank_case];
  const Size3& patch = network_.plan().patch;
  Patch cut;
  if (crop.start[0] == kWhole) {
    using volume::Interpolation;
    constexpr volume::Interpolation3 kLinear = {Interpolation::kLinear, Interpolation::kLinear,
                                                Interpolation::kLinear};
    cut.image = Stretch(c.image, patch, pool_);
    cut.labels = volume::ResizeLabels(std::span<const uint8_t>(c.labels), c.image.size, patch,
                                      kLinear, pool_);
  } else {
    cut = CutPatch(c.image.values.data(), c.labels.data(), c.image.channels, c.image.size, patch,
                   crop.start, SpatialChange{});
  }
  const c10::Device device = network_.device();
  const at::Tensor image =
      Flip(FloatTensor(cut.image, c.image.channels, patch).to(device), crop.flips);
  const at::Tensor labels = Flip(LabelTensor(cut.labels, patch).to(device), crop.flips);
  return cache_.emplace(crop, network_.EncodeTemplate(image, labels)).first->second;
}

Predictor::Crop Predictor::CropFor(const PreparedImage& image, const Size3& start, size_t bank_case,
                                   int64_t flips) {
  const PreparedCase& c = bank_.cases[bank_case];
  if (options_.align == TemplateAlign::kGlobal) {
    return {bank_case, {kWhole, kWhole, kWhole}, flips};
  }
  const AttentionKind kind = network_.options().attention;
  if (options_.align == TemplateAlign::kSearch && kind != AttentionKind::kNone &&
      kind != AttentionKind::kMean) {
    return {bank_case, SearchedStart(image, start, bank_case), flips};
  }
  return {bank_case,
          RelativeStart(image.body, start, c.image.body, c.image.size, network_.plan().patch, true),
          flips};
}

const Predictor::Matches& Predictor::Search(const PreparedImage& image, size_t bank_case) {
  if (const auto found = matches_.find(bank_case); found != matches_.end()) return found->second;
  const Size3& patch = network_.plan().patch;
  std::vector<float> values = Stretch(image, patch, pool_);
  const std::vector<at::Tensor> features =
      network_.EncodeImage(FloatTensor(values, image.channels, patch).to(network_.device()));
  // The coarsest fused stage. Its values are replaced by places, so that the context of a target
  // token is the mean place of what it attends to.
  const size_t at = network_.levels().size() - 1;
  const at::Tensor& map = features[static_cast<size_t>(network_.levels()[at])];
  TemplateTokens tokens = Encode({bank_case, {kWhole, kWhole, kWhole}, 0})[at];
  const at::Tensor places = CellPlaces(map.size(2), map.size(3), map.size(4), network_.device());
  tokens.v = places.repeat({tokens.k.size(1) / places.size(0), 1}).unsqueeze(0);
  const AttentionResult a = network_.Attend(at, map, tokens);
  const Matches matches{a.context[0].cpu(), 1 - a.weight[0].select(1, 0).cpu()};
  return matches_.emplace(bank_case, matches).first->second;
}

Size3 Predictor::SearchedStart(const PreparedImage& image, const Size3& start, size_t bank_case) {
  const Matches& m = Search(image, bank_case);
  const Size3& patch = network_.plan().patch;
  const PreparedImage& example = bank_.cases[bank_case].image;
  const Size3 cells = network_.plan().StageSize(static_cast<size_t>(network_.levels().back()));
  // The cells of the stretched image that this window covers.
  at::Tensor inside = at::ones({m.weight.size(0)}, at::kBool);
  const at::Tensor own = CellPlaces(cells[2], cells[1], cells[0], at::kCPU);
  for (size_t a = 0; a < 3; ++a) {
    const auto size = static_cast<double>(image.size[a]);
    const at::Tensor x = own.select(1, static_cast<int64_t>(a)) * size;
    inside = inside & (x >= static_cast<double>(start[a])) &
             (x < static_cast<double>(start[a] + patch[a]));
  }
  // A little weight for cells without foreground, so that there always is some.
  const at::Tensor weight = (m.weight + 1e-3) * inside.to(at::kFloat);
  const at::Tensor mean = (m.place * weight.unsqueeze(1)).sum(0) / weight.sum().clamp_min(1e-12);
  Size3 found{};
  for (size_t a = 0; a < 3; ++a) {
    // In steps of a sixteenth, so that windows share crops.
    const double part =
        std::round(16 * static_cast<double>(mean[static_cast<int64_t>(a)].item<float>())) / 16;
    const double centre = part * static_cast<double>(example.size[a]);
    found[a] = ClampStart(std::llround(centre - 0.5 * static_cast<double>(patch[a])),
                          example.size[a], patch[a]);
  }
  return found;
}

bool Predictor::OnDevice() const {
  return network_.device().is_cuda() && nn::HasKernels(network_.parameters().all().front().value);
}

volume::DeviceStream Predictor::Stream() const {
  const at::Tensor& any = network_.parameters().all().front().value;
  return {network_.device().index(), nn::CurrentStream(any)};
}

at::Tensor Predictor::WindowLogits(const PreparedImage& image, const at::Tensor& window,
                                   const Size3& start, std::span<const size_t> templates,
                                   int64_t flips) {
  const at::Tensor x = Flip(window, flips);
  const std::vector<at::Tensor> features = network_.EncodeImage(x);
  std::vector<std::vector<TemplateTokens>> tokens;
  for (const size_t t : templates) tokens.push_back(Encode(CropFor(image, start, t, flips)));
  at::Tensor logits;
  if (tokens.empty()) {
    logits = network_.Decode(features, {}, false).logits.front();
  } else if (options_.ensemble == Ensemble::kTokens) {
    logits = network_.Decode(features, Concatenate(tokens), false).logits.front();
  } else {
    for (const std::vector<TemplateTokens>& t : tokens) {
      const at::Tensor one = network_.Decode(features, t, false).logits.front();
      logits = logits.defined() ? logits + one : one;
    }
    logits = logits / static_cast<double>(tokens.size());
  }
  return Flip(logits, flips);
}

void Predictor::ForEachWindow(const PreparedImage& image, const volume::WindowGrid& grid,
                              std::span<const size_t> templates,
                              const std::function<void(const at::Tensor&)>& add) {
  const c10::NoGradGuard no_gradient;
  matches_.clear();
  const Size3& patch = network_.plan().patch;
  std::vector<float> host(static_cast<size_t>(image.channels * volume::Voxels(patch)));
  std::optional<volume::DeviceImage> device;
  if (OnDevice()) device.emplace(image.values.data(), image.channels, image.size, Stream());
  int64_t mirrored = 0;
  for (const int64_t axis : options_.tta) mirrored |= int64_t{1} << axis;
  for (int64_t w = 0; w < grid.count(); ++w) {
    const Size3 start = grid.Start(w);
    at::Tensor window = FloatTensor(host, image.channels, patch);
    if (device) {
      window = at::empty(window.sizes(), window.options().device(network_.device()));
      device->Gather(patch, start, window.mutable_data_ptr<float>());
    } else {
      volume::GatherPatch(image.values.data(), image.channels, image.size, patch, start, 0,
                          host.data());
      window = window.to(network_.device());
    }
    at::Tensor logits;
    int64_t draws = 0;
    for (int64_t flips = 0; flips < 8; ++flips) {
      if ((flips & ~mirrored) != 0) continue;
      const at::Tensor one = WindowLogits(image, window, start, templates, flips);
      logits = logits.defined() ? logits + one : one;
      ++draws;
    }
    if (draws > 1) logits = logits / static_cast<double>(draws);
    add(logits.contiguous());
  }
}

void Predictor::Logits(const PreparedImage& image, std::span<const size_t> templates,
                       const Sink& sink) {
  const volume::WindowGrid grid = MakeGrid(image, network_.plan(), options_.step);
  const int64_t classes = network_.plan().classes() + 1;
  if (!OnDevice()) {
    volume::WindowSum sum(grid, classes, pool_, sink);
    return ForEachWindow(image, grid, templates, [&](const at::Tensor& logits) {
      sum.Add(logits.cpu().const_data_ptr<float>());
    });
  }
  const auto options = at::TensorOptions().dtype(at::kFloat).device(network_.device());
  volume::DeviceWindowSum sum(
      grid, classes, Stream(), [&](int64_t first, int64_t count, const float* planes) {
        const at::Tensor view = at::from_blob(
            const_cast<float*>(planes), {classes * count * image.size[0] * image.size[1]}, options);
        sink(first, count, view.cpu().const_data_ptr<float>());
      });
  ForEachWindow(image, grid, templates,
                [&](const at::Tensor& logits) { sum.Add(logits.const_data_ptr<float>()); });
}

SegmentedImage Predictor::Segment(const PreparedImage& image, const std::string& subject,
                                  const Sink& also) {
  const double begin = SecondsNow();
  SegmentedImage result;
  const std::vector<size_t> templates = Choose(image, subject);
  for (const size_t t : templates) {
    const PreparedCase& c = bank_.cases[t];
    result.templates.push_back(c.id);
    for (size_t a = 0; a < 3 && options_.align == TemplateAlign::kRelative; ++a) {
      const auto own = static_cast<double>(image.body.size()[a]);
      const auto other = static_cast<double>(c.image.body.size()[a]);
      if (std::max(own, other) <= 1.25 * std::min(own, other)) continue;
      result.warnings.push_back(
          fmt::format("its extent differs by more than a quarter from that of template {}: parts "
                      "may not match; try --align search",
                      c.id));
      break;
    }
  }
  result.labels.assign(static_cast<size_t>(volume::Voxels(image.frame.whole)), 0);
  if (OnDevice() && !also) {
    const volume::WindowGrid grid = MakeGrid(image, network_.plan(), options_.step);
    volume::DeviceLabelExporter exporter(ExportArgs(image, network_.plan()), result.labels.data(),
                                         Stream());
    volume::DeviceWindowSum sum(grid, network_.plan().classes() + 1, Stream(),
                                [&](int64_t first, int64_t count, const float* planes) {
                                  exporter.Feed(first, count, planes);
                                });
    ForEachWindow(image, grid, templates,
                  [&](const at::Tensor& logits) { sum.Add(logits.const_data_ptr<float>()); });
  } else {
    volume::LabelExporter<uint8_t> exporter(ExportArgs(image, network_.plan()),
                                            result.labels.data(), pool_);
    const int64_t plane = image.size[0] * image.size[1];
    Logits(image, templates, [&](int64_t first, int64_t count, const float* planes) {
      exporter.Feed(first, count, planes, count * plane);
      if (also) also(first, count, planes);
    });
  }
  if (options_.largest) {
    volume::KeepLargest(std::span(result.labels), image.frame.whole, volume::Connectivity::k26,
                        pool_);
  }
  result.seconds = SecondsNow() - begin;
  return result;
}

std::vector<double> DiceScores(std::span<const uint8_t> predicted, std::span<const uint8_t> truth,
                               int64_t classes) {
  std::vector<int64_t> both(static_cast<size_t>(classes) + 1), sum(both.size());
  for (size_t i = 0; i < truth.size(); ++i) {
    both[truth[i]] += predicted[i] == truth[i] ? 1 : 0;
    ++sum[truth[i]];
    ++sum[predicted[i]];
  }
  std::vector<double> dice;
  for (size_t c = 1; c < sum.size(); ++c) {
    dice.push_back(sum[c] == 0 ? std::numeric_limits<double>::quiet_NaN()
                               : 2.0 * static_cast<double>(both[c]) / static_cast<double>(sum[c]));
  }
  return dice;
}

}  // namespace orchard::segment
