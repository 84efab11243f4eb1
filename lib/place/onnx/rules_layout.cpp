// Operators that move elements without computing: reshaping, joining, cutting, repeating, padding.
#include <algorithm>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

double Nothing(const OpCall&) { return 0; }

// Elements keep their order, so known numbers stay known.
void KeepConstant(OpCall& call) {
  if (call.Has(0) && call.inputs[0]->constant) call.SetConstant(0, *call.inputs[0]->constant);
}

void Reshape(OpCall& call) {
  const Value& data = call.In(0);
  bool unknown;
  const auto wanted = call.IntsSince(5, 1, "shape", unknown);
  if (!wanted) {
    if (call.Ranked(1) && call.Rank(1) == 1 && call.ShapeOf(1)[0] >= 0 && call.ShapeOf(1)[0] < 64)
      call.Set(0, data.element, Shape(static_cast<size_t>(call.ShapeOf(1)[0]), kOpen));
    else
      call.Set(0, data.element, std::nullopt);
    return;
  }
  Shape shape = *wanted;
  const bool zero_is_zero = call.Int("allowzero", 0) != 0;
  std::optional<size_t> rest;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && !zero_is_zero) {
      if (call.Ranked(0) && i >= call.Rank(0)) call.Fail("0 in the shape has no axis to copy");
      shape[i] = call.Ranked(0) ? call.ShapeOf(0)[i] : kOpen;
    } else if (shape[i] == -1) {
      if (rest) call.Fail("two sizes of the shape are -1");
      rest = i;
    } else if (shape[i] < 0) {
      call.Fail("a size of the shape is negative");
    }
  }
  const int64_t elements =
      data.shape ? Product(*data.shape, 0, data.shape->size()) : static_cast<int64_t>(kOpen);
  if (rest) {
    shape[*rest] = 1;
    const int64_t others = Product(shape, 0, shape.size());
    shape[*rest] = elements < 0 || others < 0 ? kOpen : others == 0 ? 0 : elements / others;
    if (others > 0 && elements >= 0 && elements % others != 0)
      call.Fail("the elements do not fill the shape evenly");
  } else if (elements >= 0) {
    const int64_t made = Product(shape, 0, shape.size());
    if (made >= 0 && made != elements)
      call.Fail(std::to_string(elements) + " elements cannot become " +
                Describe({.element = data.element, .shape = shape}));
  }
  call.Set(0, data.element, shape);
  KeepConstant(call);
}

void Flatten(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, Shape{kOpen, kOpen});
  const Shape& in = call.ShapeOf(0);
  const int64_t given = call.Int("axis", 1);
  const size_t axis =
      given == static_cast<int64_t>(in.size()) ? in.size() : call.Axis(given, in.size());
  call.Set(0, call.In(0).element, Shape{Product(in, 0, axis), Product(in, axis, in.size())});
}

void Transpose(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  Shape out(in.rbegin(), in.rend());
  if (const auto perm = call.Ints("perm"); perm && !perm->empty()) {
    if (perm->size() != in.size()) call.Fail("'perm' has another length than the tensor has axes");
    for (size_t i = 0; i < in.size(); ++i) out[i] = in[call.Axis((*perm)[i], in.size())];
  }
  call.Set(0, call.In(0).element, out);
  if (in.size() < 2) KeepConstant(call);
}

void Squeeze(OpCall& call) {
  bool unknown;
  const auto axes = call.IntsSince(13, 1, "axes", unknown);
  if (!call.Ranked(0) || unknown) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  std::vector<bool> drop(in.size(), false);
  if (axes) {
    for (int64_t axis : *axes) drop[call.Axis(axis, in.size())] = true;
  } else {
    if (std::count(in.begin(), in.end(), kOpen))
      return call.Set(0, call.In(0).element, std::nullopt);
    for (size_t i = 0; i < in.size(); ++i) drop[i] = in[i] == 1;
  }
  Shape out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!drop[i]) out.push_back(in[i]);
    if (drop[i] && in[i] > 1) call.Fail("an axis of more than one element cannot be dropped");
  }
  call.Set(0, call.In(0).element, out);
  KeepConstant(call);
}

void Unsqueeze(OpCall& call) {
  bool unknown;
  const auto axes = call.IntsSince(13, 1, "axes", unknown);
  if (!call.Ranked(0) || !axes) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  const size_t rank = in.size() + axes->size();
  std::vector<bool> added(rank, false);
  for (int64_t axis : *axes) added[call.Axis(axis, rank)] = true;
  if (static_cast<size_t>(std::count(added.begin(), added.end(), true)) != axes->size())
    call.Fail("an axis is added twice");
  Shape out;
  size_t from = 0;
  for (size_t i = 0; i < rank; ++i) out.push_back(added[i] ? 1 : in[from++]);
  call.Set(0, call.In(0).element, out);
  KeepConstant(call);
}

void Concat(OpCall& call) {
  std::optional<Shape> out;
  size_t axis = 0;
  bool known = true;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (!call.Ranked(i)) return call.Set(0, call.ElementOf(0), std::nullopt);
    const Shape& in = call.ShapeOf(i);
    known = known && call.In(i).constant != nullptr;
    if (!out) {
      axis = call.Axis(call.Int("axis", 0), in.size());
      out = in;
      continue;
    }
    if (in.size() != out->size()) call.Fail("the inputs have different numbers of axes");
    for (size_t d = 0; d < in.size(); ++d) {
      int64_t& n = (*out)[d];
      if (d == axis) {
        n = n < 0 || in[d] < 0 ? kOpen : n + in[d];
        if (n > kMaxElements) throw TooLarge();
      } else if (n == kOpen) {
        n = in[d];
      } else if (in[d] != kOpen && in[d] != n) {
        call.Fail("the inputs differ in an axis that is not joined");
      }
    }
  }
  if (!out) call.Fail("there is nothing to join");
  call.Set(0, call.ElementOf(0), out);
  if (!known || out->size() != 1 || (*out)[0] > kMaxConstant) return;
  Constant joined;
  for (const Value* in : call.inputs) {
    joined.ints.insert(joined.ints.end(), in->constant->ints.begin(), in->constant->ints.end());
    joined.floats.insert(joined.floats.end(), in->constant->floats.begin(),
                         in->constant->floats.end());
  }
  call.SetConstant(0, std::move(joined));
}

// Elements [begin, begin + count) of a list as output k.
void SetPart(OpCall& call, size_t k, size_t begin, size_t count) {
  if (!call.Has(0) || !call.inputs[0]->constant || call.Rank(0) != 1) return;
  const Constant& all = *call.inputs[0]->constant;
  Constant part;
  for (size_t i = begin; i < begin + count && i < all.size(); ++i) {
    if (all.floats.empty())
      part.ints.push_back(all.ints[i]);
    else
      part.floats.push_back(all.floats[i]);
  }
  call.SetConstant(k, std::move(part));
}

void Split(OpCall& call) {
  const size_t parts = call.outputs.size();
  bool unknown;
  auto sizes = call.IntsSince(13, 1, "split", unknown);
  if (!call.Ranked(0) || parts == 0) {
    for (size_t k = 0; k < parts; ++k) call.Set(k, call.In(0).element, std::nullopt);
    return;
  }
  const Shape& in = call.ShapeOf(0);
  const size_t axis = call.Axis(call.Int("axis", 0), in.size());
  const int64_t n = in[axis];
  if (sizes && sizes->size() != parts) call.Fail("another number of sizes than of outputs");
  if (!sizes && !unknown && n >= 0) {
    const auto count = static_cast<int64_t>(parts);
    const int64_t chunk = (n + count - 1) / count;
    sizes.emplace();
    for (int64_t k = 0, left = n; k < count; ++k, left -= chunk)
      sizes->push_back(std::clamp<int64_t>(left, 0, chunk));
  }
  int64_t begin = 0;
  for (size_t k = 0; k < parts; ++k) {
    Shape out = in;
    out[axis] = sizes ? (*sizes)[k] : static_cast<int64_t>(kOpen);
    if (sizes && ((*sizes)[k] < 0 || (n >= 0 && (*sizes)[k] > n - begin)))
      call.Fail("the parts are larger than the axis");
    call.Set(k, call.In(0).element, out);
    if (sizes) {
      SetPart(call, k, static_cast<size_t>(begin), static_cast<size_t>(out[axis]));
      if (n >= 0) begin += out[axis];
    }
  }
}

struct Range {
  int64_t begin, step, count;
};

// The elements [begin, end) of an axis of n elements, as Slice and Python count them.
Range Cut(int64_t n, int64_t begin, int64_t end, int64_t step) {
  const auto from_front = [&](int64_t i) { return i < 0 ? (i < -n ? -1 : i + n) : i; };
  begin = from_front(begin);
  end = end < -n ? -1 : from_front(end);
  if (step > 0) {
    begin = std::clamp<int64_t>(begin, 0, n);
    end = std::clamp<int64_t>(end, 0, n);
    return {begin, step, end > begin ? (end - begin - 1) / step + 1 : 0};
  }
  begin = std::clamp<int64_t>(begin, -1, n - 1);
  end = std::clamp<int64_t>(end, -1, n - 1);
  // -step overflows for the smallest integer alone, where one element is left at most.
  const int64_t stride = step == INT64_MIN ? INT64_MAX : -step;
  return {begin, step, begin > end ? (begin - end - 1) / stride + 1 : 0};
}

void Slice(OpCall& call) {
  bool unknown_starts, unknown_ends, unknown_axes, unknown_steps = false;
  const auto starts = call.IntsSince(10, 1, "starts", unknown_starts);
  const auto ends = call.IntsSince(10, 2, "ends", unknown_ends);
  auto axes = call.IntsSince(10, 3, "axes", unknown_axes);
  std::optional<std::vector<int64_t>> steps;
  if (call.opset >= 10) steps = call.IntsSince(10, 4, "steps", unknown_steps);
  if (!call.Ranked(0) || unknown_axes) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  size_t count = starts ? starts->size() : ends ? ends->size() : 0;
  if (!axes) {
    if (!starts && !ends) return call.Set(0, call.In(0).element, Shape(out.size(), kOpen));
    axes.emplace();
    for (size_t i = 0; i < count; ++i) axes->push_back(static_cast<int64_t>(i));
  }
  count = axes->size();
  if ((starts && starts->size() != count) || (ends && ends->size() != count) ||
      (steps && steps->size() != count)) {
    call.Fail("starts, ends, axes and steps have different lengths");
  }
  Range first{0, 1, 0};
  for (size_t i = 0; i < count; ++i) {
    const size_t axis = call.Axis((*axes)[i], out.size());
    const int64_t step = steps ? (*steps)[i] : 1;
    if (step == 0) call.Fail("a step of 0");
    if (!starts || !ends || unknown_steps || out[axis] < 0) {
      out[axis] = kOpen;
      continue;
    }
    first = Cut(out[axis], (*starts)[i], (*ends)[i], step);
    out[axis] = first.count;
  }
  call.Set(0, call.In(0).element, out);
  if (!call.inputs[0]->constant || call.Rank(0) != 1 || count != 1 || out[0] < 0) return;
  const Constant& all = *call.inputs[0]->constant;
  Constant part;
  for (int64_t k = 0, i = first.begin; k < first.count; ++k, i += first.step) {
    const auto at = static_cast<size_t>(i);
    if (all.floats.empty())
      part.ints.push_back(all.ints[at]);
    else
      part.floats.push_back(all.floats[at]);
    if (k + 1 == first.count) break;  // i + step may leave the integers
  }
  call.SetConstant(0, std::move(part));
}

// A constant of one repeated number under a larger shape.
void RepeatConstant(OpCall& call) {
  if (!call.outputs[0].complete() || call.outputs[0].Elements() > kMaxConstant) return;
  if (!call.Has(0) || !call.inputs[0]->constant || call.inputs[0]->constant->size() != 1) return;
  const Constant& one = *call.inputs[0]->constant;
  const auto n = static_cast<size_t>(call.outputs[0].Elements());
  Constant all;
  if (one.floats.empty())
    all.ints.assign(n, one.ints[0]);
  else
    all.floats.assign(n, one.floats[0]);
  call.SetConstant(0, std::move(all));
}

void Expand(OpCall& call) {
  const auto shape = call.Values(1);
  if (!call.Ranked(0) || !shape) return call.Set(0, call.In(0).element, std::nullopt);
  for (int64_t n : *shape) {
    if (n < 0) call.Fail("a size of the shape is negative");
  }
  const Shape out = call.Broadcast(call.ShapeOf(0), *shape);
  call.Set(0, call.In(0).element, out);
  if (call.ShapeOf(0) == out)
    KeepConstant(call);
  else
    RepeatConstant(call);
}

void Tile(OpCall& call) {
  const auto repeats = call.Values(1);
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  if (repeats && repeats->size() != out.size()) call.Fail("another number of repeats than of axes");
  for (size_t i = 0; i < out.size(); ++i) {
    if (repeats && (*repeats)[i] < 0) call.Fail("a number of repeats is negative");
    out[i] = repeats ? Product(out[i], (*repeats)[i]) : static_cast<int64_t>(kOpen);
  }
  call.Set(0, call.In(0).element, out);
  RepeatConstant(call);
}

void Pad(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  bool unknown;
  const auto pads = call.IntsSince(11, 1, "pads", unknown);
  Shape out = call.ShapeOf(0);
  std::vector<int64_t> axes;
  if (call.Has(3)) {
    const auto given = call.Values(3);
    if (!given) return call.Set(0, call.In(0).element, Shape(out.size(), kOpen));
    axes = *given;
  } else {
    for (size_t i = 0; i < out.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (!pads) return call.Set(0, call.In(0).element, Shape(out.size(), kOpen));
  if (pads->size() != 2 * axes.size()) call.Fail("two numbers are needed for each padded axis");
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t& n = out[call.Axis(axes[i], out.size())];
    const int64_t before = (*pads)[i], after = (*pads)[i + axes.size()];
    constexpr int64_t kMost = int64_t{1} << 60;
    if (before > kMost || after > kMost || before < -kMost || after < -kMost)
      call.Fail("a padding is too large");
    if (n < 0) continue;
    n += before + after;
    if (n < 0) call.Fail("the padding cuts off more than there is");
  }
  call.Set(0, call.In(0).element, out);
}

int64_t BlockSize(const OpCall& call) {
  const int64_t block = call.Int("blocksize", 0);
  if (block < 1 || block > 1 << 20) call.Fail("'blocksize' is not a positive number");
  return block;
}

int64_t Quotient(int64_t a, int64_t b) { return a < 0 ? kOpen : a / b; }

void DepthToSpace(OpCall& call) {
  const int64_t block = BlockSize(call);
  if (!call.Ranked(0) || call.Rank(0) != 4) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  call.Set(
      0, call.In(0).element,
      Shape{in[0], Quotient(in[1], block * block), Product(in[2], block), Product(in[3], block)});
}

void SpaceToDepth(OpCall& call) {
  const int64_t block = BlockSize(call);
  if (!call.Ranked(0) || call.Rank(0) != 4) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  call.Set(
      0, call.In(0).element,
      Shape{in[0], Product(in[1], block * block), Quotient(in[2], block), Quotient(in[3], block)});
}

void CenterCropPad(OpCall& call) {
  const auto shape = call.Values(1);
  if (!call.Ranked(0) || !shape) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  auto axes = call.Ints("axes");
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < out.size(); ++i) axes->push_back(static_cast<int64_t>(i));
  }
  if (axes->size() != shape->size()) call.Fail("another number of sizes than of axes");
  for (size_t i = 0; i < axes->size(); ++i) {
    if ((*shape)[i] < 0) call.Fail("a size is negative");
    out[call.Axis((*axes)[i], out.size())] = (*shape)[i];
  }
  call.Set(0, call.In(0).element, out);
}

constexpr OpRule kRules[] = {
    {"CenterCropPad", CenterCropPad, Nothing, kReadsPart},
    {"Concat", Concat, Nothing},
    {"DepthToSpace", DepthToSpace, Nothing},
    {"Expand", Expand, Nothing},
    {"Flatten", Flatten, Nothing, kView},
    {"Pad", Pad, Nothing},
    {"Reshape", Reshape, Nothing, kView},
    {"ReverseSequence", SameAsInput, Nothing},
    {"Slice", Slice, Nothing, kReadsPart},
    {"SpaceToDepth", SpaceToDepth, Nothing},
    {"Split", Split, Nothing},
    {"Squeeze", Squeeze, Nothing, kView},
    {"Tile", Tile, Nothing},
    {"Transpose", Transpose, Nothing},
    {"Trilu", SameAsInput, Nothing},
    {"Unsqueeze", Unsqueeze, Nothing, kView},
};

}  // namespace

std::span<const OpRule> LayoutRules() { return kRules; }

}  // namespace orchard::place::onnx
