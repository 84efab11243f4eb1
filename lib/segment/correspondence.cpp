#include "segment/correspondence.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/png.h"
#include "segment/attention_element.h"
#include "volume/overlay.h"
#include "volume/sliding_window.h"

namespace orchard::segment {
namespace {

using volume::Size3;

at::Tensor Unit(const at::Tensor& x) {
  return x * (x.square().sum(-1, true) + kNormGuard * kNormGuard).rsqrt();
}

// i, j, k of element `index` of a grid.
Size3 PlaceOf(int64_t index, const Size3& size) {
  return {index % size[0], index / size[0] % size[1], index / size[0] / size[1]};
}

// Where voxel `x` of a crop lies in the template's image.
double InTemplate(const TemplateCrop& crop, double x, size_t axis, const Size3& patch,
                  const Size3& size) {
  if (crop.start != TemplateCrop::kWhole) return static_cast<double>(crop.start[axis]) + x;
  return (x + 0.5) * static_cast<double>(size[axis]) / static_cast<double>(patch[axis]) - 0.5;
}

io::Image Below(const io::Image& top, const io::Image& bottom) {
  constexpr int64_t kGap = 8;
  io::Image all{.height = top.height + kGap + bottom.height,
                .width = std::max(top.width, bottom.width),
                .channels = 3};
  all.pixels.assign(static_cast<size_t>(all.height * all.width * 3), 0);
  const auto put = [&](const io::Image& part, int64_t y) {
    for (int64_t row = 0; row < part.height; ++row) {
      std::copy_n(part.pixels.begin() + row * part.width * 3, part.width * 3,
                  all.pixels.begin() + (y + row) * all.width * 3);
    }
  };
  put(top, 0);
  put(bottom, top.height + kGap);
  return all;
}

}  // namespace

// What the queries of a window meet.
struct AttentionView::Window {
  at::Tensor q;  // [N, d], unit
  std::vector<TemplateCrop> crops;
  std::vector<at::Tensor> k, mu;  // of each crop: [N', d] unit, [classes, N']
};

AttentionView::AttentionView(Predictor& predictor, const TemplateNetwork& network,
                             const TemplateBank& bank, const PreparedImage& image,
                             std::span<const size_t> templates, std::span<const uint8_t> labels)
    : predictor_(predictor),
      network_(network),
      bank_(bank),
      image_(image),
      templates_(templates.begin(), templates.end()),
      labels_(labels),
      asked_(predictor.Asked(templates)),
      grid_(predictor.Windows(image)) {
  if (!network.streams()) {
    throw UsageError("only attention = pairwise says which token answered", "--correspondences");
  }
}

AttentionView::Window AttentionView::Look(const Size3& start, int64_t label) {
  const c10::NoGradGuard no_gradient;
  const Size3& patch = network_.plan().patch;
  std::vector<float> values(static_cast<size_t>(image_.channels * volume::Voxels(patch)));
  volume::GatherPatch(image_.values.data(), image_.channels, image_.size, patch, start, 0,
                      values.data());
  const at::Tensor x =
      at::from_blob(values.data(), {1, image_.channels, patch[2], patch[1], patch[0]}, at::kFloat)
          .to(network_.device());
  const auto level = static_cast<size_t>(network_.levels().front());
  Window window;
  window.q = Unit(network_.Queries(0, network_.EncodeImage(x)[level])[0]).cpu();
  // In context each class has tokens of its own; the background's are those of the first.
  std::vector<int64_t> asked;
  if (network_.in_context()) asked = {label > 0 ? label : asked_.front()};
  for (const size_t t : templates_) {
    if (!asked.empty() && !bank_.Has(t, asked.front())) continue;
    const TemplateCrop crop = predictor_.CropFor(image_, start, t, 0, asked);
    const TemplateTokens tokens = predictor_.Tokens(crop)->front();
    window.crops.push_back(crop);
    window.k.push_back(Unit(tokens.k[0].to(at::kFloat)).cpu());
    window.mu.push_back(tokens.mu[0].cpu());
  }
  return window;
}

Size3 AttentionView::NearestWindow(const Size3& voxel) const {
  const Size3& patch = network_.plan().patch;
  Size3 start{};
  for (size_t a = 0; a < 3; ++a) {
    const auto& starts = grid_.starts[a];
    const auto distance = [&](int64_t s) { return std::abs(2 * (voxel[a] - s) - patch[a] + 1); };
    start[a] = *std::min_element(starts.begin(), starts.end(),
                                 [&](int64_t x, int64_t y) { return distance(x) < distance(y); });
  }
  return start;
}

Correspondences AttentionView::Find() {
  const auto level = static_cast<size_t>(network_.levels().front());
  const Size3& patch = network_.plan().patch;
  const Size3 cells = network_.plan().StageSize(level);
  Size3 edge{};
  for (size_t a = 0; a < 3; ++a) edge[a] = patch[a] / cells[a];
  const auto voxels = static_cast<size_t>(volume::Voxels(image_.size));
  Correspondences found{.size = image_.size};
  for (const size_t t : templates_) found.templates.push_back(bank_.cases[t].id);
  found.which.assign(voxels, 0);
  found.place.assign(3 * voxels, 0);
  found.similarity.assign(voxels, -1);
  for (int64_t w = 0; w < grid_.count(); ++w) {
    const Size3 start = grid_.Start(w);
    std::vector<int64_t> passes = {0};
    if (network_.in_context()) passes.insert(passes.end(), asked_.begin(), asked_.end());
    for (const int64_t label : passes) {
      const Window window = Look(start, label);
      // The best token of each cell over all templates.
      std::vector<at::Tensor> best, token;
      for (const at::Tensor& k : window.k) {
        const auto [value, index] = at::matmul(window.q, k.t()).max(1);
        best.push_back(value);
        token.push_back(index);
      }
      if (best.empty()) continue;
      const auto [similarity, of] = at::stack(best).max(0);  // [N]
      const at::Tensor index = at::stack(token).gather(0, of.unsqueeze(0))[0].contiguous();
      const float* const s = similarity.const_data_ptr<float>();
      const int64_t* const which = of.const_data_ptr<int64_t>();
      const int64_t* const j = index.const_data_ptr<int64_t>();
      for (int64_t v = 0; v < volume::Voxels(patch); ++v) {
        const Size3 in_patch = PlaceOf(v, patch);
        Size3 at{}, cell{};
        bool inside = true;
        for (size_t a = 0; a < 3; ++a) {
          at[a] = start[a] + in_patch[a];
          inside = inside && at[a] >= 0 && at[a] < image_.size[a];
          cell[a] = in_patch[a] / edge[a];
        }
        if (!inside || NearestWindow(at) != start) continue;
        const auto out = static_cast<size_t>(volume::IndexOf(image_.size, at[0], at[1], at[2]));
        if (network_.in_context() && labels_[out] != label) continue;
        const int64_t n = volume::IndexOf(cells, cell[0], cell[1], cell[2]);
        const TemplateCrop& crop = window.crops[static_cast<size_t>(which[n])];
        const Size3 match = PlaceOf(j[n] % volume::Voxels(cells), cells);
        const Size3& size = bank_.cases[crop.bank_case].image.size;
        for (size_t a = 0; a < 3; ++a) {
          const auto x = static_cast<double>(match[a] * edge[a] + in_patch[a] % edge[a]);
          found.place[a * voxels + out] = static_cast<float>(InTemplate(crop, x, a, patch, size));
        }
        found.similarity[out] = s[n];
        const auto place = std::find(templates_.begin(), templates_.end(), crop.bank_case);
        found.which[out] = static_cast<uint16_t>(place - templates_.begin() + 1);
      }
    }
  }
  return found;
}

VoxelAttention AttentionView::At(const Size3& voxel) {
  const c10::NoGradGuard no_gradient;
  const auto level = static_cast<size_t>(network_.levels().front());
  const Size3& patch = network_.plan().patch;
  const Size3 cells = network_.plan().StageSize(level), start = NearestWindow(voxel);
  const auto label =
      labels_[static_cast<size_t>(volume::IndexOf(image_.size, voxel[0], voxel[1], voxel[2]))];
  const Window window = Look(start, label);
  Size3 cell{}, edge{};
  for (size_t a = 0; a < 3; ++a) {
    edge[a] = patch[a] / cells[a];
    cell[a] = (voxel[a] - start[a]) / edge[a];
  }
  const at::Tensor q = window.q[volume::IndexOf(cells, cell[0], cell[1], cell[2])];
  const double tau = network_.tau(0), beta = network_.beta(0);
  // L and M of each class over all templates, and the classes' weights.
  std::vector<at::Tensor> p;  // [classes, N'] of each
  at::Tensor mass, area;
  for (size_t n = 0; n < window.k.size(); ++n) {
    p.push_back(window.mu[n] * at::exp(tau * (at::mv(window.k[n], q) - 1)));
    mass = mass.defined() ? mass + p[n].sum(1) : p[n].sum(1);
    area = area.defined() ? area + window.mu[n].sum(1) : window.mu[n].sum(1);
  }
  const at::Tensor safe = at::where(mass > 0, mass, at::ones_like(mass));
  const at::Tensor sigma = 1 + at::log(safe / area.clamp_min(1e-12)) / tau;
  const at::Tensor weight =
      ClassSoftmax((beta * sigma).view({1, 1, -1}), area.unsqueeze(0)).flatten();
  VoxelAttention result;
  at::Tensor strongest;
  size_t which = 0;
  for (size_t n = 0; n < p.size(); ++n) {
    const at::Tensor heat = (p[n] * (weight / safe).unsqueeze(1)).sum(0);  // [N']
    const double part = heat.sum().item<double>();
    if (strongest.defined() && part <= result.part) continue;
    result.part = part;
    strongest = heat;
    which = n;
  }
  const TemplateCrop& crop = window.crops[which];
  result.bank_case = crop.bank_case;
  const Size3& size = bank_.cases[crop.bank_case].image.size;
  // per_class: the same cell once for every class.
  const at::Tensor of_cell = strongest.view({-1, volume::Voxels(cells)}).sum(0).contiguous();
  const float* const heat = of_cell.const_data_ptr<float>();
  const float most = std::max(of_cell.max().item<float>(), 1e-12f);
  result.heat.assign(static_cast<size_t>(volume::Voxels(size)), 0);
  float hottest = -1;
  for (int64_t v = 0; v < volume::Voxels(patch); ++v) {
    const Size3 in_patch = PlaceOf(v, patch);
    Size3 at{};
    bool inside = true;
    for (size_t a = 0; a < 3; ++a) {
      at[a] = std::llround(InTemplate(crop, static_cast<double>(in_patch[a]), a, patch, size));
      inside = inside && at[a] >= 0 && at[a] < size[a];
    }
    if (!inside) continue;
    const int64_t n =
        volume::IndexOf(cells, in_patch[0] / edge[0], in_patch[1] / edge[1], in_patch[2] / edge[2]);
    result.heat[static_cast<size_t>(volume::IndexOf(size, at[0], at[1], at[2]))] = heat[n] / most;
    // The middle of the hottest cell.
    const bool middle = in_patch[0] % edge[0] == edge[0] / 2 &&
                        in_patch[1] % edge[1] == edge[1] / 2 &&
                        in_patch[2] % edge[2] == edge[2] / 2;
    if (middle && heat[n] > hottest) {
      hottest = heat[n];
      result.hottest = at;
    }
  }
  return result;
}

std::vector<std::byte> AttentionView::Draw(const Size3& voxel, int64_t pixels) {
  const VoxelAttention attention = At(voxel);
  const std::shared_ptr<const PreparedCase> c = bank_.Open(attention.bank_case);
  const auto draw = [&](const PreparedImage& image, std::span<const uint8_t> labels,
                        const float* heat, const Size3& at) {
    const std::vector<uint16_t> outlined(labels.begin(), labels.end());
    volume::OverlayArgs args;
    args.size = image.size;
    args.spacing = network_.plan().spacing;
    args.image = image.values.data();
    args.outlined = outlined.data();
    args.heat = heat;
    args.pixels = pixels;
    args.window = volume::ChooseWindow(
        std::span(image.values).first(static_cast<size_t>(volume::Voxels(image.size))));
    for (const LabelName& l : bank_.labels) args.names[l.value] = l.name;
    return volume::DrawPlanes(args, at);
  };
  return io::EncodePng(Below(draw(image_, labels_, nullptr, voxel),
                             draw(c->image, c->labels, attention.heat.data(), attention.hottest)));
}

void WriteCorrespondences(const std::filesystem::path& path, const Correspondences& found,
                          const PreparedImage& image, const Plan& plan) {
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.SetAttribute("/", "format", std::string("orchard-correspondences"));
  file.SetAttribute("/", "version", int64_t{1});
  file.SetAttribute("/", "spacing", std::vector<double>(plan.spacing.begin(), plan.spacing.end()));
  const volume::Box& crop = image.frame.crop;
  file.SetAttribute(
      "/", "crop",
      std::vector<int64_t>{crop.lo[0], crop.lo[1], crop.lo[2], crop.hi[0], crop.hi[1], crop.hi[2]});
  file.WriteStrings("templates", found.templates);
  const std::vector<int64_t> shape = {found.size[2], found.size[1], found.size[0]};
  file.Write<uint16_t>("which", found.which, shape, {.gzip = 1});
  file.Write<float>("similarity", found.similarity, shape, {.gzip = 1});
  file.Write<float>("place", found.place, {3, shape[0], shape[1], shape[2]}, {.gzip = 1});
  file.Finish();
}

}  // namespace orchard::segment
