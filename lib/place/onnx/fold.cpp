// Arithmetic on small constants: what exporters compute shapes with.
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_map>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

// An operation on two numbers; false where it has no result.
using IntOperation = bool (*)(int64_t, int64_t, int64_t&);
using FloatOperation = bool (*)(double, double, double&);

struct Binary {
  IntOperation ints;
  FloatOperation floats;
  bool truth = false;  // the result is a truth value
};

template <class Compute>
constexpr IntOperation Wrapping() {
  return [](int64_t a, int64_t b, int64_t& r) {
    r = static_cast<int64_t>(Compute{}(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
    return true;
  };
}

template <class Compute>
constexpr FloatOperation Plain() {
  return [](double a, double b, double& r) {
    r = static_cast<double>(Compute{}(a, b));
    return true;
  };
}

template <class Compute>
constexpr Binary Comparison() {
  return {[](int64_t a, int64_t b, int64_t& r) {
            r = Compute{}(a, b);
            return true;
          },
          Plain<Compute>(), true};
}

bool Divides(int64_t a, int64_t b) {
  return b != 0 && !(a == std::numeric_limits<int64_t>::min() && b == -1);
}

bool IntDivide(int64_t a, int64_t b, int64_t& r) {
  if (!Divides(a, b)) return false;
  r = a / b;
  return true;
}

// With the sign of the divisor.
bool IntModulo(int64_t a, int64_t b, int64_t& r) {
  if (!Divides(a, b)) return false;
  r = a % b;
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return true;
}

bool IntPower(int64_t a, int64_t b, int64_t& r) {
  const double power = std::pow(static_cast<double>(a), static_cast<double>(b));
  if (!(std::abs(power) < 9e15)) return false;
  r = static_cast<int64_t>(power);
  return true;
}

bool FloatPower(double a, double b, double& r) {
  r = std::pow(a, b);
  return true;
}

struct Least {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};
struct Greatest {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
template <class Choose>
constexpr Binary Choice() {
  return {[](int64_t a, int64_t b, int64_t& r) {
            r = Choose{}(a, b);
            return true;
          },
          Plain<Choose>()};
}

const std::unordered_map<std::string_view, Binary>& Binaries() {
  static const std::unordered_map<std::string_view, Binary> table = {
      {"Add", {Wrapping<std::plus<>>(), Plain<std::plus<>>()}},
      {"Sub", {Wrapping<std::minus<>>(), Plain<std::minus<>>()}},
      {"Mul", {Wrapping<std::multiplies<>>(), Plain<std::multiplies<>>()}},
      {"Div", {IntDivide, Plain<std::divides<>>()}},
      {"Mod", {IntModulo, nullptr}},
      {"Pow", {IntPower, FloatPower}},
      {"Min", Choice<Least>()},
      {"Max", Choice<Greatest>()},
      {"And", {Comparison<std::logical_and<>>().ints, nullptr, true}},
      {"Or", {Comparison<std::logical_or<>>().ints, nullptr, true}},
      {"Equal", Comparison<std::equal_to<>>()},
      {"Less", Comparison<std::less<>>()},
      {"Greater", Comparison<std::greater<>>()},
      {"LessOrEqual", Comparison<std::less_equal<>>()},
      {"GreaterOrEqual", Comparison<std::greater_equal<>>()},
  };
  return table;
}

// For every element of `out`, which element of a tensor of shape `in` stands there.
std::vector<size_t> BroadcastIndex(const Shape& in, const Shape& out) {
  const size_t offset = out.size() - in.size();
  std::vector<size_t> stride(out.size(), 0);
  size_t step = 1;
  for (size_t i = in.size(); i-- > 0;) {
    stride[offset + i] = in[i] == 1 ? 0 : step;
    step *= static_cast<size_t>(in[i]);
  }
  const auto total = static_cast<size_t>(Product(out, 0, out.size()));
  std::vector<size_t> index(total);
  Shape at(out.size(), 0);
  size_t place = 0;
  for (size_t n = 0; n < total; ++n) {
    index[n] = place;
    for (size_t i = out.size(); i-- > 0;) {
      place += stride[i];
      if (++at[i] < out[i]) break;
      place -= stride[i] * static_cast<size_t>(out[i]);
      at[i] = 0;
    }
  }
  return index;
}

// Folds input i into `result`, which has the shape of the output.
bool Apply(const Binary& operation, const Constant& a, const Constant& b, Constant& result) {
  if (a.floats.empty() && b.floats.empty()) {
    for (size_t i = 0; i < a.ints.size(); ++i) {
      int64_t r;
      if (!operation.ints(a.ints[i], b.ints[i], r)) return false;
      result.ints.push_back(r);
    }
    return true;
  }
  if (!operation.floats) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    double r;
    if (!operation.floats(a.At(i), b.At(i), r)) return false;
    if (operation.truth) {
      result.ints.push_back(r != 0);
    } else {
      result.floats.push_back(r);
    }
  }
  return true;
}

Constant Spread(const Value& value, const Shape& out) {
  Constant spread;
  for (size_t i : BroadcastIndex(*value.shape, out)) {
    if (value.constant->floats.empty()) {
      spread.ints.push_back(value.constant->ints[i]);
    } else {
      spread.floats.push_back(value.constant->floats[i]);
    }
  }
  return spread;
}

bool FoldWhere(const OpCall& call, const Shape& out, Constant& result) {
  const Constant choose = Spread(call.In(0), out), yes = Spread(call.In(1), out),
                 no = Spread(call.In(2), out);
  if (yes.ints.empty() != no.ints.empty()) return false;
  for (size_t i = 0; i < choose.size(); ++i) {
    const Constant& from = choose.At(i) != 0 ? yes : no;
    if (from.floats.empty()) {
      result.ints.push_back(from.ints[i]);
    } else {
      result.floats.push_back(from.floats[i]);
    }
  }
  return true;
}

bool FoldUnary(const OpCall& call, const Constant& in, int32_t element, Constant& result) {
  const std::string_view type = call.node.op_type;
  if (type == "Identity") {
    result = in;
    return true;
  }
  if (type == "Cast" || type == "CastLike") {
    for (size_t i = 0; i < in.size(); ++i) {
      if (IsFloating(element)) {
        result.floats.push_back(in.At(i));
      } else if (element == kBool) {
        result.ints.push_back(in.At(i) != 0);
      } else if (in.floats.empty()) {
        result.ints.push_back(in.ints[i]);
      } else {
        if (!(std::abs(in.floats[i]) < 9e18)) return false;
        result.ints.push_back(static_cast<int64_t>(in.floats[i]));
      }
    }
    return true;
  }
  for (int64_t x : in.ints) {
    if (type == "Neg") {
      result.ints.push_back(static_cast<int64_t>(-static_cast<uint64_t>(x)));
    } else if (type == "Abs") {
      if (x == std::numeric_limits<int64_t>::min()) return false;
      result.ints.push_back(std::abs(x));
    } else if (type == "Not") {
      result.ints.push_back(x == 0);
    } else {
      return false;
    }
  }
  for (double x : in.floats) {
    if (type == "Neg") {
      result.floats.push_back(-x);
    } else if (type == "Abs") {
      result.floats.push_back(std::abs(x));
    } else if (type == "Sqrt") {
      result.floats.push_back(std::sqrt(x));
    } else if (type == "Floor") {
      result.floats.push_back(std::floor(x));
    } else if (type == "Ceil") {
      result.floats.push_back(std::ceil(x));
    } else if (type == "Reciprocal") {
      result.floats.push_back(1 / x);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

void FoldElementwise(OpCall& call) {
  if (call.outputs.empty() || !call.outputs[0].complete() || call.inputs.empty()) return;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (!call.Has(i) || !call.inputs[i]->constant || !call.inputs[i]->complete()) return;
  }
  const Shape& out = *call.outputs[0].shape;
  if (call.outputs[0].Elements() > kMaxConstant) return;
  Constant result;
  if (call.node.op_type == "Where") {
    if (call.inputs.size() == 3 && FoldWhere(call, out, result)) call.SetConstant(0, result);
    return;
  }
  const auto binary = Binaries().find(call.node.op_type);
  if (binary == Binaries().end()) {
    if (FoldUnary(call, *call.In(0).constant, call.outputs[0].element, result))
      call.SetConstant(0, result);
    return;
  }
  if (call.node.op_type == "Mod" && call.Int("fmod", 0) != 0) return;
  Constant sum = Spread(call.In(0), out);
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    Constant next;
    if (!Apply(binary->second, sum, Spread(call.In(i), out), next)) return;
    sum = std::move(next);
  }
  call.SetConstant(0, std::move(sum));
}

}  // namespace orchard::place::onnx
