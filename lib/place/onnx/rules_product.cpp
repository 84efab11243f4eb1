// Products of matrices, and sums over products by Einstein's rule.
#include <algorithm>
#include <array>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

// numpy.matmul: leading axes broadcast, a list is a row on the left and a column on the right.
void MatMulInto(OpCall& call, size_t left, size_t right, int32_t element, bool transpose_a = false,
                bool transpose_b = false) {
  if (!call.Ranked(left) || !call.Ranked(right)) return call.Set(0, element, std::nullopt);
  Shape a = call.ShapeOf(left), b = call.ShapeOf(right);
  if (a.empty() || b.empty()) call.Fail("a single number is no matrix");
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  if (transpose_a) std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (transpose_b) std::swap(b[b.size() - 1], b[b.size() - 2]);
  const int64_t inner_a = a.back(), inner_b = b[b.size() - 2];
  if (inner_a >= 0 && inner_b >= 0 && inner_a != inner_b) {
    call.Fail("matrices of " + std::to_string(inner_a) + " columns and " + std::to_string(inner_b) +
              " rows have no product");
  }
  Shape out = call.Broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (!row) out.push_back(a[a.size() - 2]);
  if (!column) out.push_back(b.back());
  call.Set(0, element, out);
}

void MatMul(OpCall& call) { MatMulInto(call, 0, 1, call.In(0).element); }
void MatMulInteger(OpCall& call) { MatMulInto(call, 0, 1, kInt32); }
void QLinearMatMul(OpCall& call) { MatMulInto(call, 0, 3, call.ElementOf(7)); }
void FusedMatMul(OpCall& call) {
  MatMulInto(call, 0, 1, call.In(0).element, call.Int("transA", 0) != 0,
             call.Int("transB", 0) != 0);
}

// 2 m n k: two operations for each output and element of the axis summed over.
double MatMulFlops(const OpCall& call) {
  const Shape& a = call.ShapeOf(0);
  const bool transposed = call.Int("transA", 0) != 0 && a.size() > 1;
  return 2 * OutputElements(call) * static_cast<double>(transposed ? a[a.size() - 2] : a.back());
}

void Gemm(OpCall& call) {
  const int32_t element = call.In(0).element;
  if (!call.Ranked(0) || !call.Ranked(1)) return call.Set(0, element, std::nullopt);
  if (call.Rank(0) != 2 || call.Rank(1) != 2) call.Fail("the inputs are no matrices");
  MatMulInto(call, 0, 1, element, call.Int("transA", 0) != 0, call.Int("transB", 0) != 0);
}

// ---- Einsum

struct Equation {
  std::vector<std::string> inputs;
  std::string output;
};

Equation Parse(const OpCall& call) {
  std::string text;
  for (char c : call.Text("equation")) {
    if (c != ' ') text += c;
  }
  Equation equation;
  const size_t arrow = text.find("->");
  std::string left = text.substr(0, arrow);
  for (size_t at = 0; at <= left.size();) {
    const size_t comma = std::min(left.find(',', at), left.size());
    equation.inputs.push_back(left.substr(at, comma - at));
    at = comma + 1;
  }
  if (equation.inputs.size() != call.inputs.size())
    call.Fail("the equation has another number of terms than there are inputs");
  if (arrow != std::string::npos) {
    equation.output = text.substr(arrow + 2);
    return equation;
  }
  // Without an arrow: the ellipsis, then labels that occur once, in alphabetical order.
  std::array<int, 256> count{};
  for (unsigned char c : left) ++count[c];
  if (count['.'] > 0) equation.output = "...";
  for (int c = 'A'; c <= 'z'; ++c) {
    if (count[static_cast<size_t>(c)] == 1 && std::isalpha(c))
      equation.output += static_cast<char>(c);
  }
  return equation;
}

struct EinsumSizes {
  std::array<int64_t, 256> label;
  Shape ellipsis;
  bool known = true;
};

EinsumSizes Measure(const OpCall& call, const Equation& equation) {
  EinsumSizes sizes;
  sizes.label.fill(-2);  // not seen
  for (size_t i = 0; i < equation.inputs.size(); ++i) {
    if (!call.Ranked(i)) {
      sizes.known = false;
      continue;
    }
    const std::string& term = equation.inputs[i];
    const Shape& in = call.ShapeOf(i);
    const size_t dots = term.find("...");
    const size_t labels = term.size() - (dots == std::string::npos ? 0 : 3);
    if (labels > in.size() || (dots == std::string::npos && labels != in.size()))
      call.Fail("a term of the equation has another number of labels than its input has axes");
    size_t axis = 0;
    for (size_t c = 0; c < term.size(); ++c) {
      if (c == dots) {
        const size_t hidden = in.size() - labels;
        sizes.ellipsis = call.Broadcast(
            sizes.ellipsis, Shape(in.begin() + static_cast<std::ptrdiff_t>(axis),
                                  in.begin() + static_cast<std::ptrdiff_t>(axis + hidden)));
        axis += hidden;
        c += 2;
        continue;
      }
      int64_t& size = sizes.label[static_cast<unsigned char>(term[c])];
      const int64_t n = in[axis++];
      if (size >= 0 && n >= 0 && size != n && size != 1 && n != 1)
        call.Fail("one label of the equation stands for different sizes");
      if (size < 0 || size == 1) size = n;
    }
  }
  return sizes;
}

void Einsum(OpCall& call) {
  const Equation equation = Parse(call);
  const EinsumSizes sizes = Measure(call, equation);
  if (!sizes.known) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out;
  for (size_t c = 0; c < equation.output.size(); ++c) {
    if (equation.output.compare(c, 3, "...") == 0) {
      out.insert(out.end(), sizes.ellipsis.begin(), sizes.ellipsis.end());
      c += 2;
      continue;
    }
    const int64_t n = sizes.label[static_cast<unsigned char>(equation.output[c])];
    if (n == -2) call.Fail("the equation puts out a label that no input has");
    out.push_back(n);
  }
  call.Set(0, call.In(0).element, out);
}

// Two for each combination of all labels; one where there is nothing to multiply.
double EinsumFlops(const OpCall& call) {
  const Equation equation = Parse(call);
  const EinsumSizes sizes = Measure(call, equation);
  double flops = call.inputs.size() > 1 ? 2 : 1;
  for (int64_t n : sizes.label) flops *= n >= 0 ? static_cast<double>(n) : 1;
  for (int64_t n : sizes.ellipsis) flops *= static_cast<double>(n);
  return flops;
}

constexpr OpRule kRules[] = {
    {"Einsum", Einsum, EinsumFlops, kDense | kSavesInputs},
    {"Gemm", Gemm, MatMulFlops, kDense | kSavesInputs},
    {"MatMul", MatMul, MatMulFlops, kDense | kSavesInputs},
    {"MatMulInteger", MatMulInteger, MatMulFlops, kDense},
    {"QLinearMatMul", QLinearMatMul, MatMulFlops, kDense},
};

// ---- com.microsoft: what ONNX Runtime's optimiser and its exporters write

// A [.., K] by packed weights that stand for [N, K].
void MatMulNBits(OpCall& call) {
  if (!call.Ranked(0) || call.Rank(0) == 0) return call.Set(0, call.In(0).element, std::nullopt);
  Shape out = call.ShapeOf(0);
  out.back() = call.Int("N", kOpen);
  if (out.back() < 0) call.Fail("'N' is missing");
  call.Set(0, call.In(0).element, out);
}

// Normalised sum; outputs 1 and 2 are mean and deviation, output 3 the sum.
void SkipNormalization(OpCall& call) {
  SameAsInput(call);
  call.Set(3, call.In(0));
  if (!call.Ranked(0) || call.Rank(0) == 0) return;
  Shape kept = call.ShapeOf(0);
  kept.back() = 1;
  call.Set(1, kFloat, kept);
  call.Set(2, kFloat, kept);
}

constexpr OpRule kMicrosoft[] = {
    {"BiasGelu", SameAsInput, PerOutput<2>, kSavesInputs},
    {"FastGelu", SameAsInput, PerOutput<1>, kSavesInputs},
    {"FusedMatMul", FusedMatMul, MatMulFlops, kDense | kSavesInputs},
    {"Gelu", SameAsInput, PerOutput<1>, kSavesInputs},
    {"MatMulNBits", MatMulNBits, MatMulFlops, kDense},
    {"QuickGelu", SameAsInput, PerOutput<1>, kSavesInputs},
    {"RotaryEmbedding", SameAsInput, PerOutput<3>, kSavesInputs},
    {"SimplifiedLayerNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"SkipLayerNormalization", SkipNormalization, PerOutput<6>, kSavesInputs},
    {"SkipSimplifiedLayerNormalization", SkipNormalization, PerOutput<6>, kSavesInputs},
};

}  // namespace

std::span<const OpRule> ProductRules() { return kRules; }
std::span<const OpRule> MicrosoftRules() { return kMicrosoft; }

}  // namespace orchard::place::onnx
