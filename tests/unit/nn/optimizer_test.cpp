#include "nn/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "nn/composed_update.h"

namespace orchard::nn {
namespace {

using testing::HasSubstr;

at::Tensor Random(uint64_t purpose, std::vector<int64_t> shape, at::ScalarType type) {
  const at::Tensor x = at::empty(shape, at::kDouble);
  for (int64_t i = 0; i < x.numel(); ++i) {
    x.data_ptr<double>()[i] = NoiseInteger(PhiloxAt(PhiloxKey(11, purpose), i)) * kNoiseUnit;
  }
  return x.to(type);
}

void SetGradient(const at::Tensor& value, const at::Tensor& gradient) {
  at::Tensor(value).mutable_grad() = gradient.to(value.scalar_type());
}

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0;
}

// AdamW as its paper writes it, one number at a time in double.
struct ScalarAdamW {
  double w, m = 0, v = 0;
  int t = 0;
  void Step(double g, double lr, const OptimizerOptions& o, double decay) {
    ++t;
    w -= lr * decay * w;
    m = o.betas[0] * m + (1 - o.betas[0]) * g;
    v = o.betas[1] * v + (1 - o.betas[1]) * g * g;
    const double m_hat = m / (1 - std::pow(o.betas[0], t)),
                 v_hat = v / (1 - std::pow(o.betas[1], t));
    w -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

TEST(AdamW, IsTheScalarRecurrenceInFloat64) {
  OptimizerOptions options;
  options.weight_decay = 0.1;
  const at::Tensor w = Random(1, {7, 5}, at::kDouble);
  std::vector<ScalarAdamW> expected;
  for (int i = 0; i < 35; ++i) expected.push_back({w.data_ptr<double>()[i]});
  Optimizer optimizer({{"w", w}}, options);
  for (int step = 0; step < 20; ++step) {
    const at::Tensor g = Random(100 + step, {7, 5}, at::kDouble);
    const double lr = 1e-2 / (1 + step);
    SetGradient(w, g);
    optimizer.Step(lr);
    for (int i = 0; i < 35; ++i) {
      expected[i].Step(g.data_ptr<double>()[i], lr, options, 0.1);
      ASSERT_NEAR(w.data_ptr<double>()[i], expected[i].w, 1e-14);
    }
  }
}

TEST(AdamW, FirstStepMovesEveryWeightByTheLearningRate) {
  const at::Tensor w = at::zeros({4}, at::kFloat);
  OptimizerOptions options;
  options.weight_decay = 0;
  Optimizer optimizer({{"w", w}}, options);
  SetGradient(w, at::tensor({3.0f, -0.001f, 1e4f, -50.0f}));
  optimizer.Step(0.25);
  EXPECT_TRUE(at::allclose(w, at::tensor({-0.25f, 0.25f, -0.25f, 0.25f}), 1e-4));
}

TEST(AdamW, NewTensorsStartTheirOwnBiasCorrection) {
  const at::Tensor old_layer = at::zeros({1}, at::kDouble), new_layer = at::zeros({1}, at::kDouble);
  OptimizerOptions options;
  options.weight_decay = 0;
  Optimizer optimizer({{"old", old_layer}, {"new", new_layer}}, options);
  for (int step = 0; step < 10; ++step) {
    SetGradient(old_layer, at::ones({1}));
    optimizer.Step(0.1);
  }
  EXPECT_EQ(new_layer.item<double>(), 0);
  SetGradient(new_layer, at::full({1}, 5.0));
  optimizer.Step(0.1);
  EXPECT_NEAR(new_layer.item<double>(), -0.1, 1e-8);
  EXPECT_EQ(optimizer.ExportState().at("step.new").item<int64_t>(), 1);
  EXPECT_EQ(optimizer.ExportState().at("step.old").item<int64_t>(), 11);
}

TEST(Sgd, SumsGradientsIntoMomentum) {
  const at::Tensor w = at::zeros({1}, at::kDouble);
  OptimizerOptions options{.name = OptimizerKind::kSgd, .momentum = 0.5, .weight_decay = 0};
  Optimizer optimizer({{"w", w}}, options);
  for (double expected : {-1.0, -2.5, -4.25}) {  // buffers 1, 1.5, 1.75
    SetGradient(w, at::ones({1}));
    optimizer.Step(1);
    EXPECT_DOUBLE_EQ(w.item<double>(), expected);
  }
}

TEST(Sgd, NesterovLooksOneStepAhead) {
  const at::Tensor w = at::full({1}, 2.0, at::kDouble);
  OptimizerOptions options{
      .name = OptimizerKind::kSgd, .momentum = 0.5, .nesterov = true, .weight_decay = 0.25};
  Optimizer optimizer({{"w", w}}, options);
  SetGradient(w, at::ones({1}));
  optimizer.Step(1);  // g = 1 + 0.25 * 2 = 1.5, buffer 1.5, step g + 0.5 * 1.5
  EXPECT_DOUBLE_EQ(w.item<double>(), 2 - 2.25);
}

TEST(Optimizer, UpdatesBFloat16ThroughItsMaster) {
  // Each step is far below half an ulp of bf16 at 1, so without a master nothing would ever move.
  const at::Tensor w = at::ones({8}, at::kBFloat16);
  OptimizerOptions options{.name = OptimizerKind::kSgd, .momentum = 0, .weight_decay = 0};
  Optimizer optimizer({{"w", w}}, options);
  for (int step = 0; step < 100; ++step) {
    SetGradient(w, at::ones({8}));
    optimizer.Step(1e-4);
  }
  EXPECT_NEAR(optimizer.ExportState().at("master.w")[0].item<float>(), 0.99, 1e-5);
  EXPECT_TRUE(at::equal(w, at::full({8}, 0.99, at::kBFloat16)));
}

TEST(Optimizer, ClipsTheGlobalNorm) {
  const at::Tensor a = at::zeros({1}, at::kDouble), b = at::zeros({1}, at::kDouble);
  OptimizerOptions options{
      .name = OptimizerKind::kSgd, .momentum = 0, .weight_decay = 0, .clip = 1};
  Optimizer optimizer({{"a", a}, {"b", b}}, options);
  SetGradient(a, at::full({1}, 30.0));
  SetGradient(b, at::full({1}, 40.0));
  EXPECT_DOUBLE_EQ(optimizer.Step(1, 0.1).value(), 5);  // sums over ten micro-batches
  EXPECT_NEAR(a.item<double>(), -0.6, 1e-6);
  EXPECT_NEAR(b.item<double>(), -0.8, 1e-6);
  SetGradient(a, at::full({1}, 0.375));
  SetGradient(b, at::full({1}, 0.5));
  EXPECT_DOUBLE_EQ(optimizer.Step(1).value(), 0.625);
  EXPECT_NEAR(a.item<double>(), -0.975, 1e-6);
}

TEST(Optimizer, NamesTheTensorWhoseGradientIsNotFinite) {
  const at::Tensor a = at::zeros({3}), b = at::zeros({3});
  OptimizerOptions options;
  options.clip = 1;
  Optimizer optimizer({{"a", a}, {"b", b}}, options);
  SetGradient(a, at::ones({3}));
  SetGradient(b, at::tensor({0.0f, std::numeric_limits<float>::quiet_NaN(), 0.0f}));
  try {
    optimizer.Step(0.1);
    FAIL();
  } catch (const DivergedError& e) {
    EXPECT_THAT(e.what(), HasSubstr(": b"));
  }
  EXPECT_TRUE(at::equal(a, at::zeros({3})));
}

TEST(Optimizer, ScalesTheLearningRateOfSingleTensors) {
  const at::Tensor a = at::zeros({1}, at::kDouble), b = at::zeros({1}, at::kDouble);
  OptimizerOptions options{.name = OptimizerKind::kSgd, .momentum = 0, .weight_decay = 0};
  Optimizer optimizer({{.name = "a", .value = a}, {.name = "b", .value = b, .lr_scale = 0.5}},
                      options);
  SetGradient(a, at::ones({1}));
  SetGradient(b, at::ones({1}));
  optimizer.Step(0.5);
  EXPECT_EQ(a.item<double>(), -0.5);
  EXPECT_EQ(b.item<double>(), -0.25);
}

TEST(DecaysWeight, ExemptsByName) {
  const std::vector<std::string> no_decay = {"bias", "norm"};
  EXPECT_TRUE(DecaysWeight("encoder.layer.0.output.dense.weight", no_decay));
  EXPECT_FALSE(DecaysWeight("encoder.layer.0.output.dense.bias", no_decay));
  EXPECT_FALSE(DecaysWeight("encoder.layer.0.output.LayerNorm.weight", no_decay));
  EXPECT_TRUE(DecaysWeight("model.norm.weight", {}));
}

TEST(Optimizer, DecayShrinksOnlyTheTensorsThatDecay) {
  const at::Tensor a = at::ones({1}, at::kDouble), b = at::ones({1}, at::kDouble);
  OptimizerOptions options;
  options.weight_decay = 0.5;
  Optimizer optimizer({{.name = "a", .value = a}, {.name = "b", .value = b, .decays = false}},
                      options);
  SetGradient(a, at::zeros({1}));
  SetGradient(b, at::zeros({1}));
  optimizer.Step(0.1);
  EXPECT_DOUBLE_EQ(a.item<double>(), 0.95);
  EXPECT_EQ(b.item<double>(), 1);
}

TEST(AveragedWeights, HoldTheMovingAverageWhileTheyLive) {
  const at::Tensor w = at::zeros({1}, at::kDouble);
  OptimizerOptions options{
      .name = OptimizerKind::kSgd, .momentum = 0, .weight_decay = 0, .ema = 0.5};
  Optimizer optimizer({{"w", w}}, options);
  for (int step = 0; step < 2; ++step) {
    SetGradient(w, at::full({1}, -1.0));
    optimizer.Step(1);
  }
  EXPECT_EQ(w.item<double>(), 2);
  {
    const AveragedWeights averaged(optimizer);
    EXPECT_EQ(w.item<double>(), 1.25);  // ((0 + 1) / 2 + 2) / 2
  }
  EXPECT_EQ(w.item<double>(), 2);
}

std::vector<OptimizedTensor> Model(at::ScalarType type) {
  return {
      {"a", Random(1, {300, 70}, type)}, {"b", Random(2, {13}, type)}, {"c", Random(3, {0}, type)}};
}

void Train(Optimizer& optimizer, int from, int to) {
  for (int step = from; step < to; ++step) {
    for (const OptimizedTensor& t : optimizer.tensors()) {
      SetGradient(t.value, Random(1000 * step + t.name[0], t.value.sizes().vec(), at::kFloat));
    }
    optimizer.Step(1e-3 * step);
  }
}

class OptimizerKinds : public testing::TestWithParam<std::tuple<OptimizerKind, at::ScalarType>> {
 protected:
  OptimizerOptions Options() const {
    return {.name = std::get<0>(GetParam()), .nesterov = true, .clip = 0.5, .ema = 0.9};
  }
  at::ScalarType Type() const { return std::get<1>(GetParam()); }
};

TEST_P(OptimizerKinds, ContinuesBitForBitFromExportedState) {
  Optimizer straight(Model(Type()), Options()), first(Model(Type()), Options());
  Train(straight, 1, 9);
  Train(first, 1, 5);
  std::vector<OptimizedTensor> weights;
  for (const OptimizedTensor& t : first.tensors()) weights.push_back({t.name, t.value.clone()});
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : first.ExportState()) state[name] = tensor.clone();
  Optimizer resumed(weights, Options());
  resumed.ImportState(state);
  Train(resumed, 5, 9);
  for (size_t i = 0; i < straight.tensors().size(); ++i) {
    EXPECT_TRUE(SameBits(straight.tensors()[i].value, resumed.tensors()[i].value));
    EXPECT_TRUE(SameBits(straight.Averages()[i], resumed.Averages()[i]));
  }
}

TEST_P(OptimizerKinds, GivesTheSameBitsForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  Optimizer one(Model(Type()), Options()), three(Model(Type()), Options());
  at::set_num_threads(1);
  Train(one, 1, 5);
  at::set_num_threads(3);
  Train(three, 1, 5);
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.tensors().size(); ++i) {
    EXPECT_TRUE(SameBits(one.tensors()[i].value, three.tensors()[i].value));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, OptimizerKinds,
    testing::Combine(testing::Values(OptimizerKind::kAdamW, OptimizerKind::kSgd),
                     testing::Values(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf)));

RC_GTEST_PROP(ComposedUpdate, AgreesWithTheTwin, ()) {
  const int64_t count = *rc::gen::inRange<int64_t>(1, 3000);
  const auto tensor = [&](uint64_t purpose) { return Random(purpose, {count}, at::kFloat); };
  const auto make = [&] {
    return UpdateTensors{tensor(1), tensor(2), {}, tensor(3), tensor(4).square(), tensor(5)};
  };
  const UpdateTensors twin = make(), composed = make();
  TensorUpdate u{.count = count,
                 .value = twin.value.data_ptr(),
                 .gradient = twin.gradient.data_ptr(),
                 .first = twin.first.data_ptr(),
                 .second = twin.second.data_ptr(),
                 .average = twin.average.data_ptr(),
                 .learning_rate = 0.01,
                 .weight_decay = 0.1,
                 .step = 3};
  const double scale = 0.5;
  const UpdateArgs common{
      .tensors = &u, .tensor_count = 1, .gradient_scale = &scale, .average_decay = 0.9};
  if (*rc::gen::arbitrary<bool>()) {
    AdamWArgs args{common};
    AdamW(args);
    ComposedAdamW(args, u, composed, scale);
  } else {
    SgdArgs args{common, 0.9, *rc::gen::arbitrary<bool>()};
    Sgd(args);
    ComposedSgd(args, u, composed, scale);
  }
  RC_ASSERT(at::allclose(twin.value, composed.value, 1e-5, 1e-6));
  RC_ASSERT(at::allclose(twin.first, composed.first, 1e-5, 1e-6));
  RC_ASSERT(at::allclose(twin.second, composed.second, 1e-5, 1e-6));
  RC_ASSERT(at::allclose(twin.average, composed.average, 1e-5, 1e-6));
}

TEST(ImportState, RefusesStateOfAnotherModel) {
  Optimizer optimizer(Model(at::kFloat), {});
  Train(optimizer, 1, 2);
  auto state = optimizer.ExportState();
  state["exp_avg.x"] = at::zeros({1});
  EXPECT_THROW(optimizer.ImportState(state), DataError);
  state = optimizer.ExportState();
  state["exp_avg.a"] = at::zeros({1});
  EXPECT_THROW(optimizer.ImportState(state), DataError);
  state = optimizer.ExportState();
  state.erase("exp_avg_sq.b");
  EXPECT_THROW(optimizer.ImportState(state), DataError);
}

TEST(Optimizer, RefusesTensorsItCannotUpdate) {
  EXPECT_THROW(Optimizer({{"a", at::zeros({2}, at::kLong)}}, {}), UsageError);
  EXPECT_THROW(Optimizer({{"a", at::zeros({2, 3}).t()}}, {}), UsageError);
  EXPECT_THROW(Optimizer({{"a", at::zeros({2})}, {"a", at::zeros({2})}}, {}), UsageError);
  EXPECT_THROW(Optimizer({}, {.betas = {0.9}}), UsageError);
}

}  // namespace
}  // namespace orchard::nn
