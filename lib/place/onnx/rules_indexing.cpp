// Operators that pick, place, sort or select elements by index.
#include <algorithm>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

double Nothing(const OpCall&) { return 0; }

void Gather(OpCall& call) {
  if (!call.Ranked(0) || !call.Ranked(1)) return call.Set(0, call.In(0).element, std::nullopt);
  const Shape &data = call.ShapeOf(0), &indices = call.ShapeOf(1);
  const size_t axis = call.Axis(call.Int("axis", 0), data.size());
  Shape out(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(axis));
  out.insert(out.end(), indices.begin(), indices.end());
  out.insert(out.end(), data.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.end());
  call.Set(0, call.In(0).element, out);
  const auto picked = call.Values(1);
  if (!picked || !call.inputs[0]->constant || data.size() != 1) return;
  const Constant& all = *call.inputs[0]->constant;
  Constant result;
  const auto n = static_cast<int64_t>(all.size());
  for (int64_t i : *picked) {
    if (i < -n || i >= n) call.Fail("an index is outside of the tensor");
    const auto at = static_cast<size_t>(i < 0 ? i + n : i);
    if (all.floats.empty())
      result.ints.push_back(all.ints[at]);
    else
      result.floats.push_back(all.floats[at]);
  }
  call.SetConstant(0, std::move(result));
}

void GatherElements(OpCall& call) { call.Set(0, call.In(0).element, call.In(1).shape); }

void GatherND(OpCall& call) {
  if (!call.Ranked(0) || !call.Ranked(1) || call.Rank(1) == 0)
    return call.Set(0, call.In(0).element, std::nullopt);
  const Shape &data = call.ShapeOf(0), &indices = call.ShapeOf(1);
  const int64_t batch = call.Int("batch_dims", 0), depth = indices.back();
  if (depth < 0) return call.Set(0, call.In(0).element, std::nullopt);
  if (batch < 0 || depth > static_cast<int64_t>(data.size()) - batch)
    call.Fail("the indices have more entries than the data has axes");
  Shape out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), data.begin() + batch + depth, data.end());
  call.Set(0, call.In(0).element, out);
}

void OneHot(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.ElementOf(2), std::nullopt);
  Shape out = call.ShapeOf(0);
  int64_t size = kOpen;
  if (const auto& depth = call.In(1).constant; depth && depth->size() == 1) {
    if (!(depth->At(0) >= 0 && depth->At(0) < 1e15)) call.Fail("the depth is out of range");
    size = static_cast<int64_t>(depth->At(0));  // any type of number
  }
  const auto axis = call.Axis(call.Int("axis", -1), out.size() + 1);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(axis), size);
  call.Set(0, call.ElementOf(2), out);
}

void TopK(OpCall& call) {
  std::optional<std::vector<int64_t>> k;
  if (call.opset >= 10)
    k = call.Values(1);
  else
    k = std::vector<int64_t>{call.Int("k", 0)};
  if (!call.Ranked(0)) {
    call.Set(0, call.In(0).element, std::nullopt);
    return call.Set(1, kInt64, std::nullopt);
  }
  Shape out = call.ShapeOf(0);
  const size_t axis = call.Axis(call.Int("axis", -1), out.size());
  out[axis] = k && k->size() == 1 && (*k)[0] >= 0 ? (*k)[0] : static_cast<int64_t>(kOpen);
  call.Set(0, call.In(0).element, out);
  call.Set(1, kInt64, out);
}

// How many there are shows only when the model runs: at most all.
void NonZero(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, kInt64, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  call.Set(0, kInt64, Shape{static_cast<int64_t>(in.size()), Product(in, 0, in.size())});
  call.outputs[0].upper_bound = true;
}

void Compress(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  const Attribute* axis = call.node.Find("axis");
  if (!axis) {
    out = {Product(out, 0, out.size())};
  } else if (call.Ranked(1) && call.Rank(1) == 1 && call.ShapeOf(1)[0] >= 0) {
    int64_t& n = out[call.Axis(axis->i, out.size())];
    n = n < 0 ? call.ShapeOf(1)[0] : std::min(n, call.ShapeOf(1)[0]);
  }
  call.Set(0, call.In(0).element, out);
  call.outputs[0].upper_bound = true;
}

void Unique(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  const Attribute* axis = call.node.Find("axis");
  if (!axis) out = {Product(out, 0, out.size())};
  const int64_t n = axis ? out[call.Axis(axis->i, out.size())] : out[0];
  call.Set(0, call.In(0).element, out);
  for (size_t k = 1; k < 4; ++k) call.Set(k, kInt64, Shape{n});
  for (Value& value : call.outputs) value.upper_bound = true;
}

void NonMaxSuppression(OpCall& call) {
  const auto most = call.Values(2);
  if (!call.Ranked(0) || !call.Ranked(1) || call.Rank(0) != 3 || call.Rank(1) != 3)
    return call.Set(0, kInt64, std::nullopt);
  const int64_t boxes = call.ShapeOf(0)[1];
  const int64_t kept = most && most->size() == 1 && boxes >= 0
                           ? std::clamp<int64_t>((*most)[0], 0, boxes)
                           : (call.Has(2) ? boxes : int64_t{0});
  const int64_t classes = Product(call.ShapeOf(1)[0], call.ShapeOf(1)[1]);
  call.Set(0, kInt64, Shape{Product(classes, kept), 3});
  call.outputs[0].upper_bound = true;
}

constexpr OpRule kRules[] = {
    {"Compress", Compress, Nothing, kReadsPart | kSavesInputs},
    {"Gather", Gather, Nothing, kReadsPart},
    {"GatherElements", GatherElements, Nothing, kReadsPart},
    {"GatherND", GatherND, Nothing, kReadsPart},
    {"NonMaxSuppression", NonMaxSuppression, PerInput<1>},
    {"NonZero", NonZero, PerInput<1>},
    {"OneHot", OneHot, Nothing},
    {"Scatter", SameAsInput, Nothing},
    {"ScatterElements", SameAsInput, Nothing},
    {"ScatterND", SameAsInput, Nothing},
    {"TensorScatter", SameAsInput, Nothing},
    {"TopK", TopK, PerInput<5>},
    {"Unique", Unique, PerInput<5>},
};

}  // namespace

std::span<const OpRule> IndexingRules() { return kRules; }

}  // namespace orchard::place::onnx
