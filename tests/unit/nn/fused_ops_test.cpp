// The differentiable operations: against the ATen composition, and their gradients against finite
// differences in f64.
#include "nn/fused_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/error.h"
#include "nn/composed_ops.h"

namespace orchard::nn {
namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Tensors&)>;

at::Tensor Random(at::IntArrayRef shape, int64_t seed, at::ScalarType type = at::kDouble) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed));
  return at::randn(shape, generator, at::TensorOptions(at::kDouble)).to(type);
}

Tensors Copies(const Tensors& inputs) {
  Tensors copies;
  for (const at::Tensor& input : inputs) {
    copies.push_back(input.detach().clone().requires_grad_(true));
  }
  return copies;
}

// Gradients of sum(f(inputs) * weights) with fixed random weights.
Tensors Gradients(const Operation& f, const Tensors& inputs) {
  Tensors leaves = Copies(inputs);
  const at::Tensor y = f(leaves);
  (y * Random(y.sizes(), 99, y.scalar_type())).sum().backward();
  Tensors gradients;
  for (const at::Tensor& leaf : leaves) gradients.push_back(leaf.grad());
  return gradients;
}

double Objective(const Operation& f, const Tensors& inputs) {
  const at::Tensor y = f(inputs);
  return (y * Random(y.sizes(), 99)).sum().item<double>();
}

// Central differences over every element of every input.
void ExpectGradientsMatchDifferences(const Operation& f, const Tensors& inputs) {
  constexpr double kStep = 1e-6;
  const Tensors gradients = Gradients(f, inputs);
  for (size_t k = 0; k < inputs.size(); ++k) {
    for (int64_t i = 0; i < inputs[k].numel(); ++i) {
      Tensors up = Copies(inputs), down = Copies(inputs);
      for (Tensors* set : {&up, &down}) {
        for (at::Tensor& t : *set) t.requires_grad_(false);
      }
      up[k].mutable_data_ptr<double>()[i] += kStep;
      down[k].mutable_data_ptr<double>()[i] -= kStep;
      const double difference = (Objective(f, up) - Objective(f, down)) / (2 * kStep);
      ASSERT_NEAR(gradients[k].const_data_ptr<double>()[i], difference, 1e-7)
          << "input " << k << ", element " << i;
    }
  }
}

void ExpectSame(const Operation& fused, const Operation& reference, const Tensors& inputs,
                double tolerance) {
  const at::Tensor got = fused(inputs), expected = reference(inputs);
  EXPECT_EQ(got.scalar_type(), expected.scalar_type());
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LE((got - expected).abs().max().item<double>(), tolerance);
  const Tensors a = Gradients(fused, inputs), b = Gradients(reference, inputs);
  for (size_t k = 0; k < inputs.size(); ++k) {
    EXPECT_EQ(a[k].scalar_type(), b[k].scalar_type());
    EXPECT_LE((a[k] - b[k]).abs().max().item<double>(), tolerance) << "gradient " << k;
  }
}

// The fused form against the composition in f64 and f32, and its gradient against finite
// differences.
void ExpectRight(const Operation& fused, const Operation& reference, const Tensors& inputs) {
  ExpectGradientsMatchDifferences(fused, inputs);
  ExpectSame(fused, reference, inputs, 1e-12);
  Tensors single;
  for (const at::Tensor& input : inputs) single.push_back(input.to(at::kFloat));
  ExpectSame(fused, reference, single, 2e-5);
}

TEST(FusedOps, LayerNormIsTheComposition) {
  ExpectRight([](const Tensors& t) { return LayerNorm(t[0], t[1], t[2], 1e-5); },
              [](const Tensors& t) { return composed::LayerNorm(t[0], t[1], t[2], 1e-5); },
              {Random({2, 3, 11}, 1), Random({11}, 2), Random({11}, 3)});
}

TEST(FusedOps, RmsNormIsTheComposition) {
  for (const Gain gain : {Gain::kWeight, Gain::kOnePlusWeight}) {
    ExpectRight([=](const Tensors& t) { return RmsNorm(t[0], t[1], 1e-6, gain); },
                [=](const Tensors& t) { return composed::RmsNorm(t[0], t[1], 1e-6, gain); },
                {Random({4, 9}, 4), Random({9}, 5)});
  }
}

constexpr Activation kActivations[] = {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu};

TEST(FusedOps, BiasActivationIsTheComposition) {
  for (const Activation f : kActivations) {
    ExpectRight([=](const Tensors& t) { return BiasActivation(t[0], t[1], f); },
                [=](const Tensors& t) { return composed::BiasActivation(t[0], t[1], f); },
                {Random({3, 7}, 6) * 2, Random({7}, 7)});
    ExpectRight([=](const Tensors& t) { return BiasActivation(t[0], {}, f); },
                [=](const Tensors& t) { return composed::BiasActivation(t[0], {}, f); },
                {Random({3, 7}, 6) * 2});
  }
}

TEST(FusedOps, GatedActivationIsTheComposition) {
  for (const Activation f : kActivations) {
    ExpectRight([=](const Tensors& t) { return GatedActivation(t[0], t[1], f); },
                [=](const Tensors& t) { return composed::GatedActivation(t[0], t[1], f); },
                {Random({3, 7}, 8) * 2, Random({3, 7}, 9)});
  }
}

TEST(FusedOps, CrossEntropyIsTheComposition) {
  const at::Tensor targets = at::tensor({1, 4, -100, 0, 2}, at::kLong);
  for (const double smoothing : {0.0, 0.2}) {
    const CrossEntropyOptions options{.label_smoothing = smoothing};
    ExpectRight(
        [&](const Tensors& t) { return CrossEntropyRows(t[0], targets, options); },
        [&](const Tensors& t) { return composed::CrossEntropyRows(t[0], targets, options); },
        {Random({5, 6}, 10) * 3});
    ExpectRight([&](const Tensors& t) { return CrossEntropy(t[0], targets, options); },
                [&](const Tensors& t) {
                  return at::cross_entropy_loss(t[0], targets, {}, at::Reduction::Mean, -100,
                                                smoothing);
                },
                {Random({5, 6}, 10) * 3});
  }
}

TEST(FusedOps, CrossEntropyOfIgnoredRowsAloneIsZero) {
  const at::Tensor targets = at::full({3}, -100, at::kLong);
  EXPECT_EQ(CrossEntropy(Random({3, 4}, 1), targets).item<double>(), 0);
}

TEST(FusedOps, DropoutGradientsUseTheMaskOfTheForwardPass) {
  const DropoutRandom random{PhiloxKey(1, 2), 3};
  ExpectRight([&](const Tensors& t) { return Dropout(t[0], 0.4, random); },
              [&](const Tensors& t) { return composed::Dropout(t[0], 1, 0.4, random); },
              {Random({5, 7}, 11)});
  ExpectRight([&](const Tensors& t) { return DropPath(t[0], 0.4, random); },
              [&](const Tensors& t) { return composed::Dropout(t[0], 7, 0.4, random); },
              {Random({5, 7}, 12)});
  ExpectRight([&](const Tensors& t) { return DropoutAdd(t[0], t[1], 0.4, random); },
              [&](const Tensors& t) { return t[1] + composed::Dropout(t[0], 1, 0.4, random); },
              {Random({5, 7}, 13), Random({5, 7}, 14)});
}

TEST(FusedOps, DropoutWithProbabilityZeroIsTheIdentity) {
  const at::Tensor x = Random({4, 4}, 15);
  EXPECT_TRUE(at::equal(Dropout(x, 0, {}), x));
  EXPECT_TRUE(at::equal(DropPath(x, 0, {}), x));
}

TEST(FusedOps, StridedInputsGiveWhatContiguousOnesGive) {
  const at::Tensor x = Random({6, 5}, 16).t(), weight = Random({12}, 17).slice(0, 0, 12, 2),
                   bias = Random({6}, 18);
  EXPECT_TRUE(at::equal(LayerNorm(x, weight, bias, 1e-5),
                        LayerNorm(x.contiguous(), weight.contiguous(), bias, 1e-5)));
}

TEST(FusedOps, NormsTakeFloatWeightsBesideHalfInputs) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor x = Random({8, 64}, 19, type), weight = Random({64}, 20, at::kFloat),
                     bias = Random({64}, 21, at::kFloat);
    const at::Tensor wide = composed::LayerNorm(x.to(at::kFloat), weight, bias, 1e-5);
    const at::Tensor y = LayerNorm(x, weight, bias, 1e-5);
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_TRUE(at::allclose(y.to(at::kFloat), wide,
                             0.5 * (type == at::kHalf ? 0x1p-10 : 0x1p-7) + 1e-4, 1e-4));
  }
}

TEST(FusedOps, ErrorsNameTheArgument) {
  const at::Tensor x = Random({2, 8}, 22);
  const auto message = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([&] { LayerNorm(x, Random({7}, 1), Random({8}, 1), 1e-5); }).find("weight"),
            std::string::npos);
  EXPECT_NE(message([&] {
              GatedActivation(x, Random({2, 7}, 1), Activation::kSilu);
            }).find("up"),
            std::string::npos);
  EXPECT_NE(message([&] { CrossEntropy(x, at::zeros({3}, at::kLong)); }).find("targets"),
            std::string::npos);
  EXPECT_NE(message([&] { Dropout(x, 1.0, {}); }).find("probability"), std::string::npos);
}

TEST(FusedOps, RefusesToDifferentiateTwice) {
  const at::Tensor x = Random({3, 4}, 23).requires_grad_(true);
  const at::Tensor y = GatedActivation(x, x, Activation::kSilu).sum();
  EXPECT_THROW(y.backward({}, /*retain_graph=*/true, /*create_graph=*/true), UsageError);
}

TEST(FusedOps, SameBitsForAnyNumberOfThreads) {
  const at::Tensor x = Random({700, 65}, 24, at::kFloat), weight = Random({65}, 25, at::kFloat),
                   bias = Random({65}, 26, at::kFloat);
  const Operation f = [](const Tensors& t) { return LayerNorm(t[0], t[1], t[2], 1e-5); };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors one = Gradients(f, {x, weight, bias});
  at::set_num_threads(3);
  const Tensors three = Gradients(f, {x, weight, bias});
  at::set_num_threads(threads);
  for (size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(at::equal(one[k], three[k])) << k;
}

}  // namespace
}  // namespace orchard::nn
