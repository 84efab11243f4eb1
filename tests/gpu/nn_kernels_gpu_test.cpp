// Every kernel of cuda/nn against its CPU twin on the same input: all dtypes, sizes on the vector
// path, the element path and the path of rows too long for registers; and the same bits in two
// runs.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "cuda/nn/activation.h"
#include "cuda/nn/cross_entropy.h"
#include "cuda/nn/dropout.h"
#include "cuda/nn/norm.h"
#include "cuda/nn/parameter_update.h"
#include "gpu/device_array.h"
#include "unit/nn/buffers.h"

namespace orchard::nn {
namespace {

using gpu::DeviceArray;

template <class T>
class NnKernels : public gpu::DeviceTest {};
using StoredTypes = ::testing::Types<float, double, BFloat16, Float16>;
TYPED_TEST_SUITE(NnKernels, StoredTypes);

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct Size {
  int64_t rows, columns;
};
constexpr Size kSizes[] = {{1, 1},      {5, 7},    {37, 64},   {700, 768},
                           {130, 1001}, {9, 4096}, {3, 40000}, {2, 40001}};

template <class T>
void CompareNorm(NormKind kind, double offset, Size size) {
  using C = ComputeOf<T>;
  const auto x = RandomBuffer<T>(size.rows * size.columns, 1, 0.3),
             dy = RandomBuffer<T>(x.size(), 2), weight = RandomBuffer<T>(size.columns, 3),
             bias = RandomBuffer<T>(size.columns, 4);
  Buffer<T> y(x.size()), dx(x.size()), dweight(size.columns), dbias(size.columns);
  std::vector<C> mean(size.rows), rstd(size.rows);
  const FloatType type = kFloatTypeOf<T>;
  NormForwardArgs forward{"x",          kind,     type,        type,       size.rows,
                          size.columns, 1e-5,     offset,      x.data(),   weight.data(),
                          bias.data(),  y.data(), mean.data(), rstd.data()};
  NormForward(forward);
  std::vector<char> space(NormBackwardWorkspace(size.rows, size.columns, type));
  NormBackwardArgs backward{"x",       kind,           type,         type,
                            size.rows, size.columns,   offset,       dy.data(),
                            x.data(),  weight.data(),  mean.data(),  rstd.data(),
                            dx.data(), dweight.data(), dbias.data(), space.data()};
  NormBackward(backward);

  DeviceArray<T> gx(x), gdy(dy), gweight(weight), gbias(bias), gy(x.size()), gdx(x.size()),
      gdweight(size.columns), gdbias(size.columns);
  DeviceArray<C> gmean(size.rows), grstd(size.rows);
  DeviceArray<char> gspace(static_cast<int64_t>(space.size()));
  forward.x = backward.x = gx.data();
  forward.weight = backward.weight = gweight.data();
  forward.bias = gbias.data();
  forward.y = gy.data();
  forward.mean = gmean.data();
  forward.rstd = grstd.data();
  cuda::NormForward(forward, nullptr);
  backward.dy = gdy.data();
  backward.mean = gmean.data();
  backward.rstd = grstd.data();
  backward.dx = gdx.data();
  backward.dweight = gdweight.data();
  backward.dbias = gdbias.data();
  backward.workspace = gspace.data();
  cuda::NormBackward(backward, nullptr);
  // y = x' w + b, where the two terms may nearly cancel: its error is in proportion to them. A
  // 16-bit result hides that behind its own rounding.
  double largest_term = 1;
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t row = i / size.columns, column = i % size.columns;
    const double normalised = (Widen(x[i]) - mean[row]) * rstd[row];
    largest_term = std::max(largest_term, std::abs(normalised * (Widen(weight[column]) + offset)));
  }
  ExpectClose<T>(gy.Host(), Values(y), 8, std::is_same_v<T, C> ? largest_term : 1);
  ExpectClose<C>(grstd.Host(), Values(rstd), 32);
  ExpectClose<T>(gdx.Host(), Values(dx), 32);
  const double rows = std::sqrt(static_cast<double>(size.rows));
  ExpectClose<T>(gdweight.Host(), Values(dweight), 32, rows);
  ExpectClose<T>(gdbias.Host(), Values(dbias), 32, rows);
  const auto first = gdweight.Host();
  cuda::NormBackward(backward, nullptr);
  EXPECT_TRUE(SameBits(first, gdweight.Host())) << "two runs differ";
}

TYPED_TEST(NnKernels, NormMatchesItsTwinAndRepeats) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(std::to_string(size.rows) + " x " + std::to_string(size.columns));
    CompareNorm<TypeParam>(NormKind::kLayerNorm, 0, size);
    CompareNorm<TypeParam>(NormKind::kRmsNorm, 1, size);
  }
}

TYPED_TEST(NnKernels, BiasActivationMatchesItsTwinAndRepeats) {
  using T = TypeParam;
  for (const Size& size : kSizes) {
    for (const Activation f : {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu}) {
      const int64_t count = size.rows * size.columns;
      const auto x = RandomBuffer<T>(count, 5, 0, 2), dy = RandomBuffer<T>(count, 6),
                 bias = RandomBuffer<T>(size.columns, 7);
      Buffer<T> y(count), dx(count), dbias(size.columns);
      std::vector<char> space(BiasActivationWorkspace(size.rows, size.columns, kFloatTypeOf<T>));
      BiasActivationForwardArgs forward{"x",          f,        kFloatTypeOf<T>, size.rows,
                                        size.columns, x.data(), bias.data(),     y.data()};
      BiasActivationBackwardArgs backward{
          "x",      f,           kFloatTypeOf<T>, size.rows,    size.columns, dy.data(),
          x.data(), bias.data(), dx.data(),       dbias.data(), space.data()};
      BiasActivationForward(forward);
      BiasActivationBackward(backward);
      DeviceArray<T> gx(x), gdy(dy), gbias(bias), gy(count), gdx(count), gdbias(size.columns);
      DeviceArray<char> gspace(static_cast<int64_t>(space.size()));
      forward.x = backward.x = gx.data();
      forward.bias = backward.bias = gbias.data();
      forward.y = gy.data();
      backward.dy = gdy.data();
      backward.dx = gdx.data();
      backward.dbias = gdbias.data();
      backward.workspace = gspace.data();
      cuda::BiasActivationForward(forward, nullptr);
      cuda::BiasActivationBackward(backward, nullptr);
      ExpectClose<T>(gy.Host(), Values(y), 8);
      ExpectClose<T>(gdx.Host(), Values(dx), 16);
      ExpectClose<T>(gdbias.Host(), Values(dbias), 16, std::sqrt(static_cast<double>(size.rows)));
      const auto first = gdbias.Host();
      cuda::BiasActivationBackward(backward, nullptr);
      EXPECT_TRUE(SameBits(first, gdbias.Host())) << "two runs differ";
    }
  }
}

TYPED_TEST(NnKernels, GatedActivationMatchesItsTwin) {
  using T = TypeParam;
  for (const int64_t count : {1, 63, 4096, 100003}) {
    for (const Activation f : {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu}) {
      const auto gate = RandomBuffer<T>(count, 8, 0, 2), up = RandomBuffer<T>(count, 9),
                 dy = RandomBuffer<T>(count, 10);
      Buffer<T> y(count), dgate(count), dup(count);
      GatedForward({"x", f, kFloatTypeOf<T>, count, gate.data(), up.data(), y.data()});
      GatedBackward({"x", f, kFloatTypeOf<T>, count, dy.data(), gate.data(), up.data(),
                     dgate.data(), dup.data()});
      DeviceArray<T> ggate(gate), gup(up), gdy(dy), gy(count), gdgate(count), gdup(count);
      cuda::GatedForward({"x", f, kFloatTypeOf<T>, count, ggate.data(), gup.data(), gy.data()},
                         nullptr);
      cuda::GatedBackward({"x", f, kFloatTypeOf<T>, count, gdy.data(), ggate.data(), gup.data(),
                           gdgate.data(), gdup.data()},
                          nullptr);
      ExpectClose<T>(gy.Host(), Values(y), 8);
      ExpectClose<T>(gdgate.Host(), Values(dgate), 16);
      ExpectClose<T>(gdup.Host(), Values(dup), 8);
    }
  }
}

TYPED_TEST(NnKernels, CrossEntropyMatchesItsTwin) {
  using T = TypeParam;
  using C = ComputeOf<T>;
  for (const Size& size : {Size{3, 10}, Size{65, 1000}, Size{7, 30522}, Size{2, 50257}}) {
    for (const double smoothing : {0.0, 0.1}) {
      const auto logits = RandomBuffer<T>(size.rows * size.columns, 11, 0, 3);
      std::vector<int64_t> targets(size.rows);
      for (int64_t r = 0; r < size.rows; ++r)
        targets[r] = r % 5 == 2 ? -100 : r * 37 % size.columns;
      const std::vector<C> dloss(size.rows, C(0.5));
      std::vector<C> loss(size.rows), log_sum(size.rows);
      Buffer<T> dlogits(logits.size());
      CrossEntropyForward({"logits", kFloatTypeOf<T>, size.rows, size.columns, -100, smoothing,
                           logits.data(), targets.data(), loss.data(), log_sum.data()});
      CrossEntropyBackward({"logits", kFloatTypeOf<T>, size.rows, size.columns, -100, smoothing,
                            logits.data(), targets.data(), log_sum.data(), dloss.data(),
                            dlogits.data()});
      DeviceArray<T> glogits(logits), gdlogits(logits.size());
      DeviceArray<int64_t> gtargets(targets);
      DeviceArray<C> gloss(size.rows), glog_sum(size.rows), gdloss(dloss);
      cuda::CrossEntropyForward(
          {"logits", kFloatTypeOf<T>, size.rows, size.columns, -100, smoothing, glogits.data(),
           gtargets.data(), gloss.data(), glog_sum.data()},
          nullptr);
      cuda::CrossEntropyBackward(
          {"logits", kFloatTypeOf<T>, size.rows, size.columns, -100, smoothing, glogits.data(),
           gtargets.data(), glog_sum.data(), gdloss.data(), gdlogits.data()},
          nullptr);
      ExpectClose<C>(gloss.Host(), Values(loss), 64);
      ExpectClose<T>(gdlogits.Host(), Values(dlogits), 32);
    }
  }
}

TYPED_TEST(NnKernels, DropoutGivesTheBitsOfItsTwin) {
  using T = TypeParam;
  for (const int64_t count : {1, 6, 4096, 100003}) {
    for (const int64_t group : {1, 13}) {
      const auto x = RandomBuffer<T>(count, 12), residual = RandomBuffer<T>(count, 13);
      Buffer<T> y(count);
      DropoutArgs args{"x",        kFloatTypeOf<T>, count,           group,   0.3, PhiloxKey(1, 2),
                       1ull << 40, x.data(),        residual.data(), y.data()};
      Dropout(args);
      DeviceArray<T> gx(x), gresidual(residual), gy(count);
      args.x = gx.data();
      args.residual = gresidual.data();
      args.y = gy.data();
      cuda::Dropout(args, nullptr);
      EXPECT_TRUE(SameBits(y, gy.Host())) << count << " elements in groups of " << group;
    }
  }
}

// A tensor with its state on the host, or on the device.
template <class T>
struct UpdateBuffers {
  using C = ComputeOf<T>;
  Buffer<T> value, gradient;
  std::vector<C> master, first, second, average;

  explicit UpdateBuffers(int64_t count, uint32_t seed)
      : value(RandomBuffer<T>(count, seed)), gradient(RandomBuffer<T>(count, seed + 1)) {
    for (const T x : value) master.push_back(Widen(x));
    average = master;
    for (const double x : Values(RandomBuffer<T>(count, seed + 2))) {
      first.push_back(static_cast<C>(0.1 * x));
      second.push_back(static_cast<C>(0.01 * x * x));
    }
  }
};

template <class T>
TensorUpdate UpdateOf(int64_t count, T* value, const T* gradient, ComputeOf<T>* master,
                      ComputeOf<T>* first, ComputeOf<T>* second, ComputeOf<T>* average) {
  TensorUpdate update;
  update.name = "weight";
  update.type = kFloatTypeOf<T>;
  update.count = count;
  update.value = value;
  update.gradient = gradient;
  update.master = sizeof(T) == 2 ? master : nullptr;
  update.first = first;
  update.second = second;
  update.average = average;
  update.learning_rate = 1e-2;
  update.weight_decay = 0.1;
  update.step = count % 7 + 1;
  return update;
}

TYPED_TEST(NnKernels, AdamWGivesTheBitsOfItsTwinForManyTensors) {
  using T = TypeParam;
  using C = ComputeOf<T>;
  std::vector<UpdateBuffers<T>> host;
  std::vector<std::unique_ptr<DeviceArray<T>>> values, gradients;
  std::vector<std::unique_ptr<DeviceArray<C>>> masters, firsts, seconds, averages;
  std::vector<TensorUpdate> on_host, on_device;
  for (uint32_t i = 0; i < 60; ++i) {  // more than travel in one launch
    host.emplace_back(i == 5 ? 40000 : 1 + 37 * i, 10 * i);
  }
  for (UpdateBuffers<T>& b : host) {
    const int64_t count = static_cast<int64_t>(b.value.size());
    values.push_back(std::make_unique<DeviceArray<T>>(b.value));
    gradients.push_back(std::make_unique<DeviceArray<T>>(b.gradient));
    masters.push_back(std::make_unique<DeviceArray<C>>(b.master));
    firsts.push_back(std::make_unique<DeviceArray<C>>(b.first));
    seconds.push_back(std::make_unique<DeviceArray<C>>(b.second));
    averages.push_back(std::make_unique<DeviceArray<C>>(b.average));
    on_host.push_back(UpdateOf<T>(count, b.value.data(), b.gradient.data(), b.master.data(),
                                  b.first.data(), b.second.data(), b.average.data()));
    on_device.push_back(UpdateOf<T>(count, values.back()->data(), gradients.back()->data(),
                                    masters.back()->data(), firsts.back()->data(),
                                    seconds.back()->data(), averages.back()->data()));
  }
  const double scale = 0.25;
  AdamWArgs args;
  args.tensors = on_host.data();
  args.tensor_count = static_cast<int64_t>(on_host.size());
  args.gradient_scale = &scale;
  args.average_decay = 0.9;
  AdamW(args);
  const DeviceArray<double> device_scale(std::vector<double>{scale});
  args.tensors = on_device.data();
  args.gradient_scale = device_scale.data();
  cuda::AdamW(args, nullptr);
  for (size_t i = 0; i < host.size(); ++i) {
    EXPECT_TRUE(SameBits(host[i].value, values[i]->Host())) << i;
    EXPECT_TRUE(SameBits(host[i].first, firsts[i]->Host())) << i;
    EXPECT_TRUE(SameBits(host[i].second, seconds[i]->Host())) << i;
    EXPECT_TRUE(SameBits(host[i].average, averages[i]->Host())) << i;
  }

  const double expected = SumOfSquares(on_host.data(), args.tensor_count);
  DeviceArray<char> space(cuda::SumOfSquaresWorkspace(on_device.data(), args.tensor_count));
  DeviceArray<double> sum(1);
  cuda::SumOfSquares(on_device.data(), args.tensor_count, space.data(), sum.data(), nullptr);
  EXPECT_NEAR(sum.Host()[0], expected, 1e-12 * expected);
}

class NnKernelErrors : public gpu::DeviceTest {};

TEST_F(NnKernelErrors, NameTheTensor) {
  NormForwardArgs args;
  args.name = "layers.3.norm";
  args.rows = 1;
  args.columns = 8;
  try {
    cuda::NormForward(args, nullptr);
    FAIL() << "accepted null pointers";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("layers.3.norm"), std::string::npos);
  }
}

}  // namespace
}  // namespace orchard::nn
