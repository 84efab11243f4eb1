// Operators that slide a window over the spatial axes, and those that resample them.
#include <algorithm>
#include <cmath>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

constexpr int64_t kMost = int64_t{1} << 40;  // of strides, paddings and windows

struct Windows {
  Shape kernel;
  std::vector<int64_t> strides, dilations, pads;  // pads: begin of each axis, then end of each
  std::string_view auto_pad;
  bool ceil = false;
};

std::vector<int64_t> PerAxis(const OpCall& call, std::string_view attribute, size_t count,
                             int64_t otherwise, int64_t least) {
  auto values = call.Ints(attribute);
  if (!values || values->empty()) return std::vector<int64_t>(count, otherwise);
  if (values->size() != count)
    call.Fail("'" + std::string(attribute) + "' has another length than there are spatial axes");
  for (int64_t value : *values) {
    if (value < least || value > kMost)
      call.Fail("a number in '" + std::string(attribute) + "' is out of range");
  }
  return *values;
}

Windows ReadWindows(const OpCall& call, Shape kernel) {
  Windows w;
  const size_t axes = kernel.size();
  for (int64_t k : kernel) {
    if (k > kMost || k == 0 || k < kOpen) call.Fail("a window has no valid size");
  }
  w.kernel = std::move(kernel);
  w.strides = PerAxis(call, "strides", axes, 1, 1);
  w.dilations = PerAxis(call, "dilations", axes, 1, 1);
  w.pads = PerAxis(call, "pads", 2 * axes, 0, -kMost);
  w.auto_pad = call.Text("auto_pad", "NOTSET");
  w.ceil = call.Int("ceil_mode", 0) != 0;
  return w;
}

// Positions of window `axis` on n elements.
int64_t Positions(const OpCall& call, const Windows& w, size_t axis, int64_t n) {
  if (n < 0 || w.kernel[axis] < 0) return kOpen;
  const int64_t stride = w.strides[axis];
  if (w.auto_pad.starts_with("SAME")) return (n + stride - 1) / stride;
  const int64_t begin = w.auto_pad == "VALID" ? 0 : w.pads[axis];
  const int64_t end = w.auto_pad == "VALID" ? 0 : w.pads[axis + w.kernel.size()];
  int64_t span;
  if (__builtin_mul_overflow(w.kernel[axis] - 1, w.dilations[axis], &span) ||
      n > (int64_t{1} << 60))
    call.Fail("the window is too large");
  const int64_t room = n + begin + end - span - 1;
  if (room < 0) call.Fail("the window is larger than what it slides over");
  int64_t positions = room / stride + 1;
  // With ceil_mode a window may start inside and end outside, but not start in the end padding.
  if (w.ceil && room % stride != 0 && positions * stride < n + begin) ++positions;
  return positions;
}

// N, C and the positions on each spatial axis.
Shape Slide(const OpCall& call, const Windows& w, const Shape& in, int64_t channels) {
  Shape out = {in[0], channels};
  for (size_t i = 0; i < w.kernel.size(); ++i) out.push_back(Positions(call, w, i, in[i + 2]));
  return out;
}

void ConvInto(OpCall& call, size_t weight, int32_t element) {
  if (!call.Ranked(0) || !call.Ranked(weight)) return call.Set(0, element, std::nullopt);
  const Shape &x = call.ShapeOf(0), &w = call.ShapeOf(weight);
  if (x.size() < 2 || w.size() != x.size()) call.Fail("input and weights have different axes");
  const int64_t group = call.Int("group", 1);
  if (group < 1) call.Fail("'group' is not positive");
  if (x[1] >= 0 && w[1] >= 0 && (w[1] > x[1] || x[1] != Product(w[1], group)))
    call.Fail("the weights are for another number of channels");
  const Windows windows = ReadWindows(call, Shape(w.begin() + 2, w.end()));
  call.Set(0, element, Slide(call, windows, x, w[0]));
}

void Conv(OpCall& call) { ConvInto(call, 1, call.In(0).element); }
void ConvInteger(OpCall& call) { ConvInto(call, 1, kInt32); }
void QLinearConv(OpCall& call) { ConvInto(call, 3, call.ElementOf(7)); }

// 2 N Co Ho Wo (Ci/g) kh kw.
double ConvFlops(const OpCall& call) {
  const Shape& w = *call.In(call.node.op_type == "QLinearConv" ? 3 : 1).shape;
  return 2 * OutputElements(call) * static_cast<double>(Product(w, 1, w.size()));
}

void ConvTranspose(OpCall& call) {
  const int32_t element = call.In(0).element;
  if (!call.Ranked(0) || !call.Ranked(1)) return call.Set(0, element, std::nullopt);
  const Shape &x = call.ShapeOf(0), &w = call.ShapeOf(1);
  if (x.size() < 2 || w.size() != x.size()) call.Fail("input and weights have different axes");
  const size_t axes = x.size() - 2;
  const Windows windows = ReadWindows(call, Shape(w.begin() + 2, w.end()));
  const auto extra = PerAxis(call, "output_padding", axes, 0, 0);
  const auto stated = call.Ints("output_shape");
  Shape out = {x[0], Product(w[1], std::max<int64_t>(1, call.Int("group", 1)))};
  for (size_t i = 0; i < axes; ++i) {
    if (stated && stated->size() == axes && (*stated)[i] >= 0) {
      out.push_back((*stated)[i]);
    } else if (x[i + 2] < 0 || w[i + 2] < 0) {
      out.push_back(kOpen);
    } else if (windows.auto_pad.starts_with("SAME")) {
      out.push_back(Product(x[i + 2], windows.strides[i]));
    } else {
      const int64_t span = Product(w[i + 2] - 1, windows.dilations[i]);
      const bool valid = windows.auto_pad == "VALID";
      const int64_t pads = valid ? 0 : windows.pads[i] + windows.pads[i + axes];
      const int64_t n = Product(std::max<int64_t>(0, x[i + 2] - 1), windows.strides[i]) + extra[i] +
                        span + 1 - pads;
      if (n < 0) call.Fail("the padding cuts off more than there is");
      out.push_back(n);
    }
  }
  call.Set(0, element, out);
}

double ConvTransposeFlops(const OpCall& call) {
  const Shape& w = call.ShapeOf(1);
  return 2 * InputElements(call) * static_cast<double>(Product(w, 1, w.size()));
}

void DeformConv(OpCall& call) { ConvInto(call, 1, call.In(0).element); }

void Pool(OpCall& call) {
  if (!call.Ranked(0)) {
    call.Set(1, kInt64, std::nullopt);
    return call.Set(0, call.In(0).element, std::nullopt);
  }
  const Shape& x = call.ShapeOf(0);
  const auto kernel = call.Ints("kernel_shape");
  if (!kernel) call.Fail("'kernel_shape' is missing");
  if (x.size() != kernel->size() + 2) call.Fail("input and window have different axes");
  const Shape out = Slide(call, ReadWindows(call, *kernel), x, x[1]);
  call.Set(0, call.In(0).element, out);
  call.Set(1, kInt64, out);
}

double PoolFlops(const OpCall& call) {
  double window = 1;
  for (int64_t k : call.Ints("kernel_shape").value_or(std::vector<int64_t>()))
    window *= static_cast<double>(k);
  return OutputElements(call) * window;
}

void GlobalPool(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  for (size_t i = 2; i < out.size(); ++i) out[i] = 1;
  call.Set(0, call.In(0).element, out);
}

void MaxUnpool(OpCall& call) {
  if (const auto stated = call.Values(2)) return call.Set(0, call.In(0).element, *stated);
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& x = call.ShapeOf(0);
  const auto kernel = call.Ints("kernel_shape");
  if (!kernel || kernel->size() + 2 != x.size()) call.Fail("'kernel_shape' does not fit the input");
  const Windows w = ReadWindows(call, *kernel);
  Shape out = {x[0], x[1]};
  for (size_t i = 0; i < kernel->size(); ++i) {
    const int64_t n = x[i + 2];
    out.push_back(n < 1 ? n
                        : std::max<int64_t>(0, Product(n - 1, w.strides[i]) + (*kernel)[i] -
                                                   w.pads[i] - w.pads[i + kernel->size()]));
  }
  call.Set(0, call.In(0).element, out);
}

int64_t WholeSize(double size) {
  if (!(size >= 0 && size <= static_cast<double>(kMaxElements))) throw TooLarge();
  return static_cast<int64_t>(size);
}

// Sizes for the axes of Resize, from the size of each and its scale.
void Rescale(const OpCall& call, Shape& out, const std::vector<size_t>& axes,
             const Constant& scales) {
  if (scales.size() != axes.size()) call.Fail("another number of scales than of axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    const double scale = scales.At(i);
    if (!(scale > 0 && scale < 1e9)) call.Fail("a scale is not positive");
    int64_t& n = out[axes[i]];
    // Exporters write float scales meant as quotients of whole sizes.
    if (n >= 0) n = WholeSize(std::floor(static_cast<double>(n) * scale + 1e-6));
  }
}

void Resize(OpCall& call) {
  const bool upsample = call.node.op_type == "Upsample";
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  std::vector<size_t> axes;
  const auto named = call.Ints("axes");
  for (size_t i = 0; i < (named ? named->size() : out.size()); ++i)
    axes.push_back(named ? call.Axis((*named)[i], out.size()) : i);
  const size_t scales_at = upsample || call.opset < 11 ? 1 : 2;
  if (const Attribute* scales = call.node.Find("scales"); upsample && scales) {
    Rescale(call, out, axes, {.floats = scales->floats});
  } else if (const auto sizes = call.Values(3); sizes && !upsample && !sizes->empty()) {
    if (sizes->size() != axes.size()) call.Fail("another number of sizes than of axes");
    const std::string_view policy = call.Text("keep_aspect_ratio_policy", "stretch");
    double ratio = policy == "not_larger" ? 1e30 : 0;
    for (size_t i = 0; i < axes.size(); ++i) {
      const double r = static_cast<double>((*sizes)[i]) / static_cast<double>(out[axes[i]]);
      ratio = policy == "not_larger" ? std::min(ratio, r) : std::max(ratio, r);
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      int64_t& n = out[axes[i]];
      if ((*sizes)[i] < 0) call.Fail("a size is negative");
      if (policy == "stretch")
        n = (*sizes)[i];
      else
        n = n < 0 ? n : WholeSize(std::round(static_cast<double>(n) * ratio));
    }
  } else if (call.Has(scales_at) && call.inputs[scales_at]->constant &&
             call.inputs[scales_at]->constant->size() > 0) {
    Rescale(call, out, axes, *call.inputs[scales_at]->constant);
  } else {
    for (size_t axis : axes) out[axis] = kOpen;
  }
  call.Set(0, call.In(0).element, out);
}

void RoiPool(OpCall& call) {
  const bool align = call.node.op_type == "RoiAlign";
  int64_t height = call.Int("output_height", 1), width = call.Int("output_width", 1);
  if (!align) {
    const auto pooled = call.Ints("pooled_shape");
    if (!pooled || pooled->size() != 2) call.Fail("'pooled_shape' is missing");
    height = (*pooled)[0];
    width = (*pooled)[1];
  }
  if (height < 0 || width < 0) call.Fail("a size is negative");
  if (!call.Ranked(0) || !call.Ranked(1) || call.Rank(0) < 2 || call.Rank(1) < 1)
    return call.Set(0, call.In(0).element, std::nullopt);
  call.Set(0, call.In(0).element, Shape{call.ShapeOf(1)[0], call.ShapeOf(0)[1], height, width});
}

void GridSample(OpCall& call) {
  if (!call.Ranked(0) || !call.Ranked(1) || call.Rank(0) < 2 || call.Rank(1) < 2)
    return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& grid = call.ShapeOf(1);
  Shape out = {call.ShapeOf(0)[0], call.ShapeOf(0)[1]};
  out.insert(out.end(), grid.begin() + 1, grid.end() - 1);
  call.Set(0, call.In(0).element, out);
}

void AffineGrid(OpCall& call) {
  const auto size = call.Values(1);
  if (!size || size->size() < 3) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = {(*size)[0]};
  out.insert(out.end(), size->begin() + 2, size->end());
  out.push_back(static_cast<int64_t>(size->size()) - 2);
  for (int64_t n : out) {
    if (n < 0) call.Fail("a size is negative");
  }
  call.Set(0, call.In(0).element, out);
}

constexpr OpRule kRules[] = {
    {"AffineGrid", AffineGrid, PerOutput<5>},
    {"AveragePool", Pool, PoolFlops},
    {"Conv", Conv, ConvFlops, kDense | kSavesInputs},
    {"ConvInteger", ConvInteger, ConvFlops, kDense},
    {"ConvTranspose", ConvTranspose, ConvTransposeFlops, kDense | kSavesInputs},
    {"DeformConv", DeformConv, ConvFlops, kDense | kSavesInputs},
    {"GlobalAveragePool", GlobalPool, PerInput<1>},
    {"GlobalLpPool", GlobalPool, PerInput<1>, kSavesInputs},
    {"GlobalMaxPool", GlobalPool, PerInput<1>, kSavesInputs},
    {"GridSample", GridSample, PerOutput<8>, kSavesInputs},
    {"LpPool", Pool, PoolFlops, kSavesInputs},
    {"MaxPool", Pool, PoolFlops, kSavesInputs},
    {"MaxRoiPool", RoiPool, PerOutput<8>, kSavesInputs},
    {"MaxUnpool", MaxUnpool, PerInput<1>},
    {"QLinearConv", QLinearConv, ConvFlops, kDense},
    {"Resize", Resize, PerOutput<8>},
    {"RoiAlign", RoiPool, PerOutput<8>, kSavesInputs},
    {"Upsample", Resize, PerOutput<8>},
};

}  // namespace

std::span<const OpRule> WindowRules() { return kRules; }

}  // namespace orchard::place::onnx
