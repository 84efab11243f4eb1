#include "segment/predictor.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "nn/fused_launch.h"
#include "volume/components.h"
#include "volume/label_export.h"

namespace orchard::segment {
namespace {

using volume::Size3;

at::Tensor FloatTensor(std::vector<float>& values, int64_t channels, const Size3& size) {
  return at::from_blob(values.data(), {1, channels, size[2], size[1], size[0]}, at::kFloat);
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

volume::LabelExportArgs ExportArgs(const PreparedImage& image, const Plan& plan, int64_t classes) {
  const Size3 to = image.frame.crop.size();
  volume::Spacing3 target = plan.spacing;
  if (plan.dims == 2) target[2] = image.frame.spacing[2];
  const volume::Interpolation3 how =
      InterpolationFor(image.frame.spacing, target, volume::Interpolation::kLinear);
  volume::LabelExportArgs args;
  args.classes = classes;
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
                     const InferenceOptions& options, uint64_t seed, ThreadPool& pool,
                     std::optional<std::filesystem::path> cache)
    : network_(network),
      bank_(bank),
      options_(options),
      seed_(seed),
      pool_(pool),
      cache_(network, bank, options.token_memory, std::move(cache), pool) {
  const Plan& plan = network.plan();
  late_head_ = !network.in_context() && !OnDevice() && options.decode == Decode::kNetwork &&
               options.late_head.value_or(plan.classes() + 1 > plan.stages.front().channels);
  const bool similar =
      network.uses_template() && network.options().attention != AttentionKind::kNone;
  if (options.decode == Decode::kAttention && !similar)
    throw UsageError("the network has no similarities to a template", "--decode");
  if (network.uses_template() && bank.cases.empty()) {
    throw UsageError("the network needs a template and there is none", "--template");
  }
}

volume::WindowGrid Predictor::Windows(const PreparedImage& image) const {
  volume::WindowGrid grid(image.size, network_.plan().patch, options_.step);
  if (network_.plan().dims == 2) {
    // Slices do not overlap.
    grid.starts[2].resize(static_cast<size_t>(image.size[2]));
    for (int64_t k = 0; k < image.size[2]; ++k) grid.starts[2][static_cast<size_t>(k)] = k;
  }
  return grid;
}

std::vector<size_t> Predictor::Choose(const PreparedImage& image,
                                      const std::string& subject) const {
  if (!network_.uses_template()) return {};
  const TemplateQuery query{options_.select, options_.templates, options_.fixed, seed_};
  return ChooseTemplates(bank_.cases, bank_.scores, query, Thumbnail(image), subject);
}

std::vector<int64_t> Predictor::Asked(std::span<const size_t> templates) const {
  std::vector<int64_t> asked;
  const bool in_context = network_.in_context();
  const int64_t classes = in_context ? bank_.classes() : network_.plan().classes();
  for (int64_t label = 1; label <= classes; ++label) {
    const auto has = [&](size_t t) { return bank_.Has(t, label); };
    if (!in_context || std::any_of(templates.begin(), templates.end(), has)) asked.push_back(label);
  }
  return asked;
}

TemplateCrop Predictor::CropFor(const PreparedImage& image, const Size3& start, size_t bank_case,
                                int64_t flips, std::span<const int64_t> classes) {
  TemplateCrop crop{.bank_case = bank_case, .flips = flips};
  if (network_.in_context()) crop.classes.assign(classes.begin(), classes.end());
  const PreparedCase& c = bank_.cases[bank_case];
  const AttentionKind kind = network_.options().attention;
  if (options_.align == TemplateAlign::kGlobal) {
    crop.start = TemplateCrop::kWhole;
  } else if (options_.align == TemplateAlign::kSearch && kind != AttentionKind::kNone &&
             kind != AttentionKind::kMean) {
    crop.start = SearchedStart(image, start, bank_case);
  } else {
    crop.start =
        RelativeStart(image.body, start, c.image.body, c.image.size, network_.plan().patch, true);
  }
  return crop;
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
  TemplateCrop whole{.bank_case = bank_case, .start = TemplateCrop::kWhole};
  const std::array<size_t, 1> alone = {bank_case};
  if (network_.in_context()) whole.classes = Asked(alone);
  TemplateTokens tokens = (*cache_.Get(whole))[at];
  const at::Tensor places = CellPlaces(map.size(2), map.size(3), map.size(4), network_.device());
  tokens.v = places.repeat({tokens.k.size(1) / places.size(0), 1})
                 .unsqueeze(0)
                 .repeat({tokens.k.size(0), 1, 1});
  // In context every class says where it is; they count by how much they are there.
  const AttentionResult a = network_.Attend(at, map, tokens);
  const at::Tensor foreground = 1 - a.weight.select(2, 0);  // [1 or K, N]
  const at::Tensor total = foreground.sum(0).clamp_min(1e-12);
  const at::Tensor place = (a.context * foreground.unsqueeze(2)).sum(0) / total.unsqueeze(1);
  const Matches matches{place.cpu(), foreground.amax(0).cpu()};
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
  const Size3& patch = network_.plan().patch;
  const at::Tensor x = Flip(window, flips);
  const std::vector<at::Tensor> features = network_.EncodeImage(x);
  const std::vector<int64_t> asked = Asked(templates);
  if (!network_.in_context()) {
    return Flip(BlockLogits(image, start, features, templates, flips, asked), flips);
  }
  // Classes do not see each other, so that they may come in parts.
  std::vector<at::Tensor> parts = {
      at::zeros({1, 1, patch[2], patch[1], patch[0]},
                at::TensorOptions().dtype(at::kFloat).device(network_.device()))};
  const auto block = static_cast<size_t>(options_.class_block);
  for (size_t first = 0; first < asked.size(); first += block) {
    const auto some = std::span(asked).subspan(first, std::min(block, asked.size() - first));
    const at::Tensor logits = BlockLogits(image, start, features, templates, flips, some);
    parts.push_back(logits.narrow(1, 1, std::ssize(some)));
  }
  return Flip(at::cat(parts, 1), flips);
}

at::Tensor Predictor::BlockLogits(const PreparedImage& image, const Size3& start,
                                  const std::vector<at::Tensor>& features,
                                  std::span<const size_t> templates, int64_t flips,
                                  std::span<const int64_t> classes) {
  std::vector<TemplateCrop> crops;
  for (const size_t t : templates) {
    const auto has = [&](int64_t label) { return bank_.Has(t, label); };
    if (network_.in_context() && std::none_of(classes.begin(), classes.end(), has)) continue;
    crops.push_back(CropFor(image, start, t, flips, classes));
  }
  if (crops.empty()) return Answer(features, {});
  if (options_.ensemble == Ensemble::kLogits && crops.size() > 1)
    return AverageLogits(features, crops, classes);
  if (crops.size() == 1) return Answer(features, Attend(features, *cache_.Get(crops.front())));
  if (!network_.streams()) {
    std::vector<std::vector<TemplateTokens>> tokens;
    for (const TemplateCrop& crop : crops) tokens.push_back(*cache_.Get(crop));
    return Answer(features, Attend(features, Concatenate(tokens)));
  }
  // One template after the other, so that memory does not grow with their number.
  std::vector<StreamedAttention> sums;
  const int64_t passes = network_.in_context() ? std::ssize(classes) : 1;
  for (size_t at = 0; at < network_.levels().size(); ++at) {
    sums.push_back(
        network_.Stream(at, features[static_cast<size_t>(network_.levels()[at])], passes));
  }
  for (const TemplateCrop& crop : crops) {
    const TokenCache::Tokens tokens = cache_.Get(crop);
    for (size_t at = 0; at < sums.size(); ++at) sums[at].Add((*tokens)[at]);
  }
  std::vector<AttentionResult> attended;
  for (const StreamedAttention& s : sums) attended.push_back(s.Finish());
  return Answer(features, attended);
}

std::vector<AttentionResult> Predictor::Attend(const std::vector<at::Tensor>& features,
                                               const std::vector<TemplateTokens>& tokens) const {
  std::vector<AttentionResult> attended;
  for (size_t at = 0; at < tokens.size(); ++at) {
    const auto level = static_cast<size_t>(network_.levels()[at]);
    attended.push_back(network_.Attend(at, features[level], tokens[at]));
  }
  return attended;
}

at::Tensor Predictor::Answer(const std::vector<at::Tensor>& features,
                             const std::vector<AttentionResult>& attended) const {
  if (options_.decode == Decode::kNetwork || attended.empty())
    return network_.DecodeAttended(features, attended, false, !late_head_).logits.front();
  const at::Tensor logits = network_.SimilarityLogits(0, attended.front(), 1);  // [1, N, K + 1]
  const at::Tensor& map = features[static_cast<size_t>(network_.levels().front())];
  const Size3& patch = network_.plan().patch;
  const at::Tensor coarse =
      logits.transpose(1, 2).reshape({1, logits.size(2), map.size(2), map.size(3), map.size(4)});
  return at::upsample_trilinear3d(coarse, {patch[2], patch[1], patch[0]}, false);
}

// The mean over templates; in context over those that have the class.
at::Tensor Predictor::AverageLogits(const std::vector<at::Tensor>& features,
                                    std::span<const TemplateCrop> crops,
                                    std::span<const int64_t> classes) {
  at::Tensor sum, count;
  for (const TemplateCrop& crop : crops) {
    const at::Tensor logits = Answer(features, Attend(features, *cache_.Get(crop)));
    at::Tensor counts = at::ones_like(logits.slice(2, 0, 1).slice(3, 0, 1).slice(4, 0, 1));
    for (size_t n = 0; n < classes.size() && network_.in_context(); ++n) {
      if (!bank_.Has(crop.bank_case, classes[n]))
        counts.select(1, static_cast<int64_t>(n) + 1).zero_();
    }
    count = count.defined() ? count + counts : counts;
    sum = sum.defined() ? sum + logits * counts : logits * counts;
  }
  return sum / count.clamp_min(1);
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
  const c10::NoGradGuard no_gradient;
  const volume::WindowGrid grid = Windows(image);
  const int64_t classes = std::ssize(Asked(templates)) + 1;
  if (OnDevice()) {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(network_.device());
    volume::DeviceWindowSum sum(
        grid, classes, Stream(), [&](int64_t first, int64_t count, const float* planes) {
          const at::Tensor view =
              at::from_blob(const_cast<float*>(planes),
                            {classes * count * image.size[0] * image.size[1]}, options);
          sink(first, count, view.cpu().const_data_ptr<float>());
        });
    return ForEachWindow(image, grid, templates, [&](const at::Tensor& logits) {
      sum.Add(logits.const_data_ptr<float>());
    });
  }
  // Means over windows of features become logits a plane at a time.
  const int64_t plane = image.size[0] * image.size[1];
  const int64_t channels = network_.plan().stages.front().channels;
  const auto make_logits = [&](int64_t first, int64_t count, const float* planes) {
    for (int64_t k = 0; k < count; ++k) {
      // The tensor is read only.
      auto* const begin = const_cast<float*>(planes + k * plane);
      const at::Tensor x = at::from_blob(begin, {channels, plane}, {count * plane, 1}, at::kFloat);
      const at::Tensor logits = network_.Head(x.to(network_.device())).cpu().contiguous();
      sink(first + k, 1, logits.const_data_ptr<float>());
    }
  };
  volume::WindowSum sum(grid, late_head_ ? channels : classes, pool_,
                        late_head_ ? Sink(make_logits) : sink);
  ForEachWindow(image, grid, templates,
                [&](const at::Tensor& logits) { sum.Add(logits.cpu().const_data_ptr<float>()); });
}

void Predictor::Warm(size_t bank_case) {
  matches_.clear();
  const PreparedImage& image = bank_.cases[bank_case].image;
  const volume::WindowGrid grid = Windows(image);
  const std::array<size_t, 1> alone = {bank_case};
  const std::vector<int64_t> asked = Asked(alone);
  const auto block = network_.in_context() ? static_cast<size_t>(options_.class_block)
                                           : std::max<size_t>(1, asked.size());
  for (int64_t w = 0; w < grid.count(); ++w) {
    for (size_t first = 0; first < asked.size(); first += block) {
      const auto some = std::span(asked).subspan(first, std::min(block, asked.size() - first));
      cache_.Get(CropFor(image, grid.Start(w), bank_case, 0, some));
    }
  }
}

SegmentedImage Predictor::Segment(const PreparedImage& image, const std::string& subject,
                                  const Sink& also) {
  return Segment(image, Choose(image, subject), also);
}

SegmentedImage Predictor::Segment(const PreparedImage& image, std::span<const size_t> templates,
                                  const Sink& also) {
  const double begin = SecondsNow();
  SegmentedImage result;
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
  const std::vector<int64_t> asked = Asked(templates);
  const int64_t classes = std::ssize(asked) + 1;
  const volume::LabelExportArgs args = ExportArgs(image, network_.plan(), classes);
  if (OnDevice() && !also) {
    volume::DeviceLabelExporter exporter(args, result.labels.data(), Stream());
    const volume::WindowGrid grid = Windows(image);
    volume::DeviceWindowSum sum(grid, classes, Stream(),
                                [&](int64_t first, int64_t count, const float* planes) {
                                  exporter.Feed(first, count, planes);
                                });
    ForEachWindow(image, grid, templates,
                  [&](const at::Tensor& logits) { sum.Add(logits.const_data_ptr<float>()); });
  } else {
    volume::LabelExporter<uint8_t> exporter(args, result.labels.data(), pool_);
    const int64_t plane = image.size[0] * image.size[1];
    Logits(image, templates, [&](int64_t first, int64_t count, const float* planes) {
      exporter.Feed(first, count, planes, count * plane);
      if (also) also(first, count, planes);
    });
  }
  if (!asked.empty() && asked.back() != std::ssize(asked)) {
    for (uint8_t& v : result.labels)
      if (v > 0) v = static_cast<uint8_t>(asked[v - 1u]);
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
