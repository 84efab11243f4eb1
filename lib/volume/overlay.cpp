#include "volume/overlay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "volume/resample_element.h"
#include "volume/small_font.h"
#include "volume/surface.h"

namespace orchard::volume {
namespace {

using Color = std::array<uint8_t, 3>;

constexpr int64_t kGap = 6;          // pixels between planes
constexpr double kFillShare = 0.38;  // of the colour in filled areas
constexpr Color kCross = {90, 90, 110}, kLetter = {235, 235, 120};

// A plane of the volume as a picture: which axes run along it, and which way.
struct Plane {
  size_t normal, across, down;  // axes; the picture's x and y
  bool flip_across, flip_down;  // against the axis
  const char *left, *right, *top, *bottom;
};

constexpr Plane kPlanes[] = {
    {2, 0, 1, true, true, "R", "L", "A", "P"},   // axial, seen from the feet
    {1, 0, 2, true, true, "R", "L", "S", "I"},   // coronal, seen from the front
    {0, 1, 2, true, true, "A", "P", "S", "I"}};  // sagittal

// Where a pixel of a plane lies, in voxels.
class PlaneMap {
 public:
  PlaneMap(const OverlayArgs& args, const Plane& plane, const Size3& at, double mm_per_pixel)
      : args_(args), plane_(plane), at_(at), scale_(mm_per_pixel) {
    width_ = Pixels(plane.across);
    height_ = Pixels(plane.down);
  }
  int64_t width() const { return width_; }
  int64_t height() const { return height_; }

  std::array<float, 3> Voxel(int64_t x, int64_t y) const {
    std::array<float, 3> voxel;
    voxel[plane_.normal] = static_cast<float>(at_[plane_.normal]);
    voxel[plane_.across] = Along(plane_.across, x, width_, plane_.flip_across);
    voxel[plane_.down] = Along(plane_.down, y, height_, plane_.flip_down);
    return voxel;
  }
  // The pixel over the centre of voxel `index` of an axis of the picture.
  int64_t PixelOf(size_t axis, int64_t index) const {
    const bool is_across = axis == plane_.across;
    const int64_t length = is_across ? width_ : height_;
    const auto x =
        static_cast<int64_t>((static_cast<double>(index) + 0.5) * args_.spacing[axis] / scale_);
    const bool flip = is_across ? plane_.flip_across : plane_.flip_down;
    return std::clamp<int64_t>(flip ? length - 1 - x : x, 0, length - 1);
  }

 private:
  int64_t Pixels(size_t axis) const {
    const double length = static_cast<double>(args_.size[axis]) * args_.spacing[axis];
    return std::max<int64_t>(1, std::llround(length / scale_));
  }
  float Along(size_t axis, int64_t pixel, int64_t length, bool flip) const {
    const double p = static_cast<double>(flip ? length - 1 - pixel : pixel) + 0.5;
    return static_cast<float>(
        p * static_cast<double>(args_.size[axis]) / static_cast<double>(length) - 0.5);
  }

  const OverlayArgs& args_;
  const Plane& plane_;
  Size3 at_;
  double scale_;
  int64_t width_, height_;
};

uint16_t LabelAt(const uint16_t* labels, const Size3& size, const std::array<float, 3>& voxel) {
  return labels[IndexOf(size, NearestIndex(voxel[0], size[0]), NearestIndex(voxel[1], size[1]),
                        NearestIndex(voxel[2], size[2]))];
}

void Put(io::Image& picture, int64_t x, int64_t y, const Color& color, double share = 1) {
  for (int64_t c = 0; c < 3; ++c) {
    uint8_t& value = picture.At(y, x, c);
    value = static_cast<uint8_t>(
        std::lround((1 - share) * value + share * color[static_cast<size_t>(c)]));
  }
}

// The glyph of a character: small letters as capitals, unknown ones as a question mark.
const Glyph& GlyphOf(char c) {
  const char wanted = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  const auto is = [](char character) {
    return [character](const Glyph& glyph) { return glyph.character == character; };
  };
  const auto at = std::find_if(std::begin(kGlyphs), std::end(kGlyphs), is(wanted));
  return at != std::end(kGlyphs) ? *at
                                 : *std::find_if(std::begin(kGlyphs), std::end(kGlyphs), is('?'));
}

constexpr int64_t kAdvance = kGlyphWidth + 1;  // pixels from letter to letter

// Text whose upper left corner is at (x, y); what would lie outside the picture is cut off.
void Write(io::Image& picture, const std::string& text, int64_t x, int64_t y, const Color& color) {
  for (const char c : text) {
    if (c != ' ') {
      const Glyph& glyph = GlyphOf(c);
      for (int64_t row = 0; row < kGlyphHeight; ++row) {
        for (int64_t column = 0; column < kGlyphWidth; ++column) {
          const int64_t px = x + column, py = y + row;
          const bool inside = px >= 0 && py >= 0 && px < picture.width && py < picture.height;
          if (inside && (glyph.rows[row] >> (kGlyphWidth - 1 - column) & 1) != 0)
            Put(picture, px, py, color);
        }
      }
    }
    x += kAdvance;
  }
}

void DrawGrey(const OverlayArgs& a, const PlaneMap& map, int64_t left, io::Image& picture) {
  const double black = a.window.level - a.window.width / 2;
  for (int64_t y = 0; y < map.height(); ++y) {
    for (int64_t x = 0; x < map.width(); ++x) {
      const std::array<float, 3> v = map.Voxel(x, y);
      const double value = static_cast<double>(
          SampleLinear(a.image, a.size[0], a.size[1], a.size[2], v[0], v[1], v[2]));
      const double grey = std::clamp((value - black) / a.window.width, 0.0, 1.0) * 255;
      const auto level = static_cast<uint8_t>(std::isfinite(grey) ? std::lround(grey) : 0);
      Put(picture, left + x, y, {level, level, level});
    }
  }
}

void DrawHeat(const OverlayArgs& a, const PlaneMap& map, int64_t left, io::Image& picture) {
  if (a.heat == nullptr) return;
  for (int64_t y = 0; y < map.height(); ++y) {
    for (int64_t x = 0; x < map.width(); ++x) {
      const std::array<float, 3> v = map.Voxel(x, y);
      const double value =
          std::clamp(static_cast<double>(
                         SampleLinear(a.heat, a.size[0], a.size[1], a.size[2], v[0], v[1], v[2])),
                     0.0, 1.0);
      if (value > 0.02) Put(picture, left + x, y, HeatColor(value), std::min(0.8, 0.25 + value));
    }
  }
}

void DrawLabels(const OverlayArgs& a, const PlaneMap& map, int64_t left, io::Image& picture,
                std::set<int64_t>& seen) {
  for (int64_t y = 0; y < map.height(); ++y) {
    for (int64_t x = 0; x < map.width(); ++x) {
      const std::array<float, 3> voxel = map.Voxel(x, y);
      if (a.filled != nullptr) {
        const uint16_t label = LabelAt(a.filled, a.size, voxel);
        if (label != 0) {
          Put(picture, left + x, y, ClassColor(label), kFillShare);
          seen.insert(label);
        }
      }
      if (a.outlined == nullptr) continue;
      const uint16_t label = LabelAt(a.outlined, a.size, voxel);
      if (label == 0) continue;
      seen.insert(label);
      // A pixel of the outline has a neighbour of another label; the picture's edge is none.
      bool edge = false;
      constexpr int64_t kSteps[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
      for (const auto& [dx, dy] : kSteps) {
        const int64_t nx = x + dx, ny = y + dy;
        if (nx < 0 || ny < 0 || nx >= map.width() || ny >= map.height()) continue;
        edge = edge || LabelAt(a.outlined, a.size, map.Voxel(nx, ny)) != label;
      }
      if (edge) Put(picture, left + x, y, ClassColor(label));
    }
  }
}

// Dotted lines where the two other planes cut this one, and the letters of the directions.
void DrawFrame(const Plane& plane, const PlaneMap& map, const Size3& at, int64_t left,
               io::Image& picture) {
  const int64_t x_cut = map.PixelOf(plane.across, at[plane.across]);
  const int64_t y_cut = map.PixelOf(plane.down, at[plane.down]);
  for (int64_t y = 0; y < map.height(); y += 4) Put(picture, left + x_cut, y, kCross, 0.7);
  for (int64_t x = 0; x < map.width(); x += 4) Put(picture, left + x, y_cut, kCross, 0.7);
  const int64_t middle_x = left + map.width() / 2 - 2, middle_y = map.height() / 2 - 3;
  Write(picture, plane.left, left + 3, middle_y, kLetter);
  Write(picture, plane.right, left + map.width() - 8, middle_y, kLetter);
  Write(picture, plane.top, middle_x, 3, kLetter);
  Write(picture, plane.bottom, middle_x, map.height() - 10, kLetter);
}

struct LegendEntry {
  std::string text;
  Color color;
};

constexpr int64_t kLine = 18;  // height of a line of the legend
int64_t EntryWidth(const LegendEntry& entry) {
  return 26 + kAdvance * static_cast<int64_t>(entry.text.size());
}

// Appends the legend below the planes, in as many lines as it takes.
void AppendLegend(const std::vector<LegendEntry>& entries, io::Image& picture) {
  int64_t lines = 1, x = kGap;
  for (const LegendEntry& entry : entries) {
    if (x > kGap && x + EntryWidth(entry) > picture.width) {
      ++lines;
      x = kGap;
    }
    x += EntryWidth(entry);
  }
  int64_t y = picture.height;
  picture.height += lines * kLine + 4;
  picture.pixels.resize(static_cast<size_t>(picture.height * picture.width * 3), 0);
  x = kGap;
  for (const LegendEntry& entry : entries) {
    if (x > kGap && x + EntryWidth(entry) > picture.width) {
      y += kLine;
      x = kGap;
    }
    for (int64_t dy = 5; dy < 15; ++dy)
      for (int64_t dx = 0; dx < 10 && x + dx < picture.width; ++dx)
        Put(picture, x + dx, y + dy, entry.color);
    Write(picture, entry.text, x + 15, y + 7, {230, 230, 230});
    x += EntryWidth(entry);
  }
}

}  // namespace

Window ChooseWindow(std::span<const float> values) {
  // Every n-th value of large volumes says the same.
  const size_t step = std::max<size_t>(1, values.size() / 500000);
  float least = std::numeric_limits<float>::infinity();
  for (float v : values)
    if (v < least) least = v;
  if (least < -500) return {40, 400};
  std::vector<double> kept;
  for (size_t v = 0; v < values.size(); v += step)
    if (std::isfinite(values[v]) && values[v] > least)
      kept.push_back(static_cast<double>(values[v]));
  if (kept.empty()) return {static_cast<double>(std::isfinite(least) ? least : 0), 1};
  std::sort(kept.begin(), kept.end());
  const double low = Quantile(kept, 0.005), high = Quantile(kept, 0.995);
  return {(low + high) / 2, high > low ? high - low : 1};
}

std::array<uint8_t, 3> ClassColor(int64_t label) {
  // Hues a golden angle apart, light enough for dark images.
  const double hue = std::fmod(static_cast<double>(label - 1) * 137.508 + 8, 360) / 60;
  const double saturation = 0.85, value = label % 2 == 0 ? 0.95 : 1;
  const auto sector = static_cast<int>(hue);
  const double part = hue - sector, p = value * (1 - saturation);
  const double q = value * (1 - saturation * part), t = value * (1 - saturation * (1 - part));
  const double wheel[6][3] = {{value, t, p}, {q, value, p}, {p, value, t},
                              {p, q, value}, {t, p, value}, {value, p, q}};
  Color color;
  for (size_t c = 0; c < 3; ++c)
    color[c] = static_cast<uint8_t>(std::lround(wheel[sector % 6][c] * 255));
  return color;
}

std::array<uint8_t, 3> HeatColor(double value) {
  constexpr double kStops[3][3] = {{90, 20, 140}, {225, 50, 60}, {255, 225, 70}};
  const double at = std::clamp(value, 0.0, 1.0) * 2;
  const size_t low = at < 1 ? 0 : 1;
  const double part = at - static_cast<double>(low);
  Color color;
  for (size_t c = 0; c < 3; ++c)
    color[c] =
        static_cast<uint8_t>(std::lround((1 - part) * kStops[low][c] + part * kStops[low + 1][c]));
  return color;
}

io::Image DrawPlanes(const OverlayArgs& a, const Size3& at) {
  double longest = 0;
  for (size_t x = 0; x < 3; ++x) {
    if (at[x] < 0 || at[x] >= a.size[x])
      throw UsageError("the voxel lies outside the image", "picture");
    longest = std::max(longest, static_cast<double>(a.size[x]) * a.spacing[x]);
  }
  const double scale = longest / static_cast<double>(a.pixels);
  io::Image picture{.height = 0, .width = 0, .channels = 3};
  std::vector<PlaneMap> maps;
  for (const Plane& plane : kPlanes) {
    maps.emplace_back(a, plane, at, scale);
    picture.width += maps.back().width() + kGap;
    picture.height = std::max(picture.height, maps.back().height());
  }
  picture.width = std::max<int64_t>(picture.width - kGap, 120);
  picture.pixels.assign(static_cast<size_t>(picture.height * picture.width * 3), 0);
  std::set<int64_t> seen;
  int64_t left = 0;
  for (size_t p = 0; p < 3; ++p) {
    DrawGrey(a, maps[p], left, picture);
    DrawHeat(a, maps[p], left, picture);
    DrawLabels(a, maps[p], left, picture, seen);
    DrawFrame(kPlanes[p], maps[p], at, left, picture);
    left += maps[p].width() + kGap;
  }
  if (!a.legend) return picture;
  std::vector<LegendEntry> entries;
  for (int64_t label : seen) {
    const auto name = a.names.find(label);
    entries.push_back(
        {name == a.names.end() ? std::to_string(label) : name->second, ClassColor(label)});
  }
  if (!entries.empty()) AppendLegend(entries, picture);
  return picture;
}

Size3 CenterOf(std::span<const uint16_t> labels, const Size3& size, int64_t label) {
  const auto matches = [&](uint16_t value) { return label == 0 ? value != 0 : value == label; };
  double sum[3] = {0, 0, 0};
  int64_t count = 0;
  for (int64_t v = 0; v < Voxels(size); ++v) {
    if (!matches(labels[static_cast<size_t>(v)])) continue;
    const Size3 here = {v % size[0], v / size[0] % size[1], v / size[0] / size[1]};
    for (size_t a = 0; a < 3; ++a) sum[a] += static_cast<double>(here[a]);
    ++count;
  }
  if (count == 0) return {size[0] / 2, size[1] / 2, size[2] / 2};
  double nearest = std::numeric_limits<double>::infinity();
  Size3 center = {0, 0, 0};
  for (int64_t v = 0; v < Voxels(size); ++v) {
    if (!matches(labels[static_cast<size_t>(v)])) continue;
    const Size3 here = {v % size[0], v / size[0] % size[1], v / size[0] / size[1]};
    double squares = 0;
    for (size_t a = 0; a < 3; ++a) {
      const double d = static_cast<double>(here[a]) - sum[a] / static_cast<double>(count);
      squares += d * d;
    }
    if (squares < nearest) {
      nearest = squares;
      center = here;
    }
  }
  return center;
}

}  // namespace orchard::volume
