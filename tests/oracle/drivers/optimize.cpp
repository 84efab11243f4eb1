// orchard-optimize KIND DTYPE STEPS: trains a vector of 97 numbers on made-up gradients and prints
// it after every step. Weights and gradients are fractions of small whole numbers, so that
// optimizer_test.py makes the same ones.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <string>

#include "nn/optimizer.h"

namespace {

constexpr int64_t kCount = 97;

at::Tensor Gradient(int64_t step, at::ScalarType type) {
  return ((at::arange(kCount, at::kDouble) * 37 + step * 101).remainder(89) / 16 - 2.5).to(type);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  using orchard::nn::OptimizerKind;
  const std::string kind = argv[1], dtype = argv[2];
  const at::ScalarType type = dtype == "f64" ? at::kDouble : at::kFloat;
  orchard::nn::OptimizerOptions options{
      .name = kind == "adamw" ? OptimizerKind::kAdamW : OptimizerKind::kSgd,
      .nesterov = kind == "nesterov",
      .weight_decay = 0.05,
      .clip = 10};
  at::Tensor w = ((at::arange(kCount, at::kDouble) * 13).remainder(31) / 8 - 2).to(type);
  orchard::nn::Optimizer optimizer({{"w", w}}, options);
  for (int64_t step = 1; step <= std::stoll(argv[3]); ++step) {
    w.mutable_grad() = Gradient(step, type);
    const double norm = optimizer.Step(0.01 / static_cast<double>(step)).value();
    fmt::print("{:.17g}", norm);
    for (int64_t i = 0; i < kCount; ++i) fmt::print(" {:.17g}", w[i].item<double>());
    fmt::print("\n");
  }
}
