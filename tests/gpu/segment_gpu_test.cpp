// Cosine attention, the segmentation loss and the instance norm on the GPU against their CPU twins,
// forward and backward.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "base/half.h"
#include "cuda/segment/attention_kernel.h"
#include "cuda/segment/instance_norm_kernel.h"
#include "cuda/segment/loss_kernel.h"
#include "data/random_stream.h"
#include "gpu/device_array.h"
#include "segment/loss_element.h"

namespace orchard::gpu {
namespace {

using segment::AttentionGradientArgs;

struct Shape {
  int64_t batch, targets, tokens, classes, keys, values;
};

template <class T>
std::vector<T> Normals(uint64_t index, int64_t count) {
  data::RandomStream random(1, "attention test", index);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& v : values) v = static_cast<T>(random.Normal());
  return values;
}

// Tokens belong to one class, every fifth to two; the last class of three or more has none.
template <class T>
std::vector<T> Areas(const Shape& s) {
  const int64_t used = s.classes > 2 ? s.classes - 1 : s.classes;
  std::vector<T> mu(static_cast<size_t>(s.batch * s.classes * s.tokens), T(0));
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t j = 0; j < s.tokens; ++j) {
      const auto at = [&](int64_t c) {
        return static_cast<size_t>((b * s.classes + c) * s.tokens + j);
      };
      const T share = j % 5 == 0 ? T(0.25) : T(0);
      mu[at((j / 7 + b) % used)] += T(1) - share;
      mu[at((j / 7 + b + 1) % used)] += share;
    }
  }
  return mu;
}

template <class T>
double LargestDifference(const std::vector<T>& a, const std::vector<T>& b) {
  double difference = 0, scale = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    difference =
        std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    scale = std::max(scale, std::abs(static_cast<double>(b[i])));
    if (std::isnan(a[i])) return NAN;
  }
  return difference / scale;
}

template <class T>
void Compare(const Shape& s, double tolerance) {
  const int64_t rows = s.batch * s.targets, tokens = s.batch * s.tokens;
  const std::vector<T> q = Normals<T>(1, rows * s.keys), k = Normals<T>(2, tokens * s.keys);
  const std::vector<T> v = Normals<T>(3, tokens * s.values), mu = Areas<T>(s);
  const std::vector<T> prior = Normals<T>(4, s.batch * s.classes);
  const std::vector<T> d_context = Normals<T>(5, rows * s.values);
  const std::vector<T> d_similarity = Normals<T>(6, rows * s.classes);
  const std::vector<int64_t> sizes = {
      rows * s.values,    rows * s.classes, rows * s.classes, rows * s.classes * s.values,
      rows * s.classes,   rows * s.keys,    tokens * s.keys,  tokens * s.values,
      s.batch * s.classes};
  AttentionGradientArgs<T> args;
  args.batch = s.batch;
  args.targets = s.targets;
  args.tokens = s.tokens;
  args.classes = s.classes;
  args.key_channels = s.keys;
  args.value_channels = s.values;
  args.tau = T(12);
  args.beta = T(9);
  const auto point = [&](std::vector<T*> to) {
    args.context = to[0];
    args.similarity = to[1];
    args.weight = to[2];
    args.class_context = to[3];
    args.mass = to[4];
    args.dq = to[5];
    args.dk = to[6];
    args.dv = to[7];
    args.d_prior = to[8];
  };
  std::vector<std::vector<T>> host;
  std::vector<T*> pointers;
  for (const int64_t size : sizes) host.emplace_back(static_cast<size_t>(size));
  for (std::vector<T>& h : host) pointers.push_back(h.data());
  point(pointers);
  args.q = q.data();
  args.k = k.data();
  args.v = v.data();
  args.mu = mu.data();
  args.prior = prior.data();
  args.d_context = d_context.data();
  args.d_similarity = d_similarity.data();
  segment::CosineAttentionForward<T>(args);
  segment::CosineAttentionBackward<T>(args);
  const double d_tau = args.d_tau, d_beta = args.d_beta;

  const DeviceArray<T> gq(q), gk(k), gv(v), gmu(mu), gprior(prior), gdc(d_context),
      gds(d_similarity);
  std::vector<std::unique_ptr<DeviceArray<T>>> device;
  pointers.clear();
  for (const int64_t size : sizes) {
    device.push_back(std::make_unique<DeviceArray<T>>(size));
    pointers.push_back(device.back()->data());
  }
  point(pointers);
  args.q = gq.data();
  args.k = gk.data();
  args.v = gv.data();
  args.mu = gmu.data();
  args.prior = gprior.data();
  args.d_context = gdc.data();
  args.d_similarity = gds.data();
  const DeviceArray<T> workspace(
      cuda::CosineAttentionWorkspace(s.batch, s.targets, s.tokens, s.classes, s.keys));
  const DeviceArray<double> scalars(2);
  cuda::CosineAttentionForward<T>(args, workspace.data(), nullptr);
  cuda::CosineAttentionBackward<T>(args, workspace.data(), scalars.data(), nullptr);
  for (size_t n = 0; n < device.size(); ++n) {
    EXPECT_LT(LargestDifference(device[n]->Host(), host[n]), tolerance) << "output " << n;
  }
  const std::vector<double> found = scalars.Host();
  EXPECT_NEAR(found[0], d_tau, tolerance * std::max(1.0, std::abs(d_tau)) * 10);
  EXPECT_NEAR(found[1], d_beta, tolerance * std::max(1.0, std::abs(d_beta)) * 10);
}

using CosineAttentionGpu = DeviceTest;
using SegmentationLossGpu = DeviceTest;

constexpr Shape kShapes[] = {{1, 1, 1, 1, 1, 1},
                             {2, 37, 53, 3, 7, 5},
                             {1, 129, 200, 4, 32, 48},
                             {1, 300, 1000, 3, 64, 64},
                             {1, 70, 90, 2, 128, 128}};

TEST_F(CosineAttentionGpu, AgreesWithTheTwinInDouble) {
  for (const Shape& s : kShapes) Compare<double>(s, 1e-10);
}

TEST_F(CosineAttentionGpu, AgreesWithTheTwinInFloat) {
  for (const Shape& s : kShapes) Compare<float>(s, 1e-4);
}

template <class T>
void CompareLoss(bool channels_last, double tolerance) {
  segment::LossArgs<T> args;
  args.batch = 2;
  args.classes = 5;
  args.voxels = 10007;
  args.image_stride = args.classes * args.voxels;
  args.class_stride = channels_last ? 1 : args.voxels;
  args.voxel_stride = channels_last ? args.classes : 1;
  const std::vector<T> logits = Normals<T>(1, args.batch * args.image_stride);
  std::vector<uint8_t> labels(static_cast<size_t>(args.batch * args.voxels));
  data::RandomStream random(1, "labels", 0);
  for (uint8_t& label : labels) {
    const uint32_t drawn = random.Below(5);
    label = drawn == 4 ? segment::kIgnoredLabel : static_cast<uint8_t>(drawn);
  }
  args.logits = logits.data();
  args.labels = labels.data();
  const segment::LossSums sums = segment::SumLoss(args);
  std::vector<double> inside, outside;
  for (int n = 0; n < 10; ++n) {
    inside.push_back(-0.3 + 0.1 * n);
    outside.push_back(0.2 - 0.05 * n);
  }
  std::vector<T> gradient(logits.size());
  segment::LossGradient(args, 0.7, inside, outside, gradient.data());

  const DeviceArray<T> glogits(logits);
  const DeviceArray<uint8_t> glabels(labels);
  const DeviceArray<double> gin(inside), gout(outside), gsums(2 * 17);
  const DeviceArray<double> partials(cuda::LossPartials(2, 5, args.voxels));
  const DeviceArray<T> ggradient(std::ssize(gradient));
  args.logits = glogits.data();
  args.labels = glabels.data();
  cuda::SumLoss(args, partials.data(), gsums.data(), nullptr);
  cuda::LossGradient(args, 0.7, gin.data(), gout.data(), ggradient.data(), nullptr);
  const std::vector<double> found = gsums.Host();
  for (size_t image = 0; image < 2; ++image) {
    for (size_t c = 0; c < 5; ++c) {
      EXPECT_NEAR(found[image * 17 + c], sums.intersection[image * 5 + c], tolerance * 1e4);
      EXPECT_NEAR(found[image * 17 + 5 + c], sums.probability[image * 5 + c], tolerance * 1e4);
      EXPECT_EQ(found[image * 17 + 10 + c], sums.area[image * 5 + c]);
    }
    EXPECT_NEAR(found[image * 17 + 15], sums.ce[image], tolerance * 1e5);
    EXPECT_EQ(found[image * 17 + 16], static_cast<double>(sums.counted[image]));
  }
  EXPECT_LT(LargestDifference(ggradient.Host(), gradient), tolerance);
}

TEST_F(SegmentationLossGpu, AgreesWithTheTwin) {
  for (const bool channels_last : {false, true}) {
    CompareLoss<double>(channels_last, 1e-11);
    CompareLoss<float>(channels_last, 1e-5);
  }
}

// Batch, rows, channels: vectors of channels and single ones; one row; more channels than threads;
// several blocks of rows.
struct MapShape {
  int64_t batch, rows, channels;
};
constexpr MapShape kMaps[] = {{1, 2, 1},    {2, 504, 16}, {1, 60, 5},   {2, 24, 320}, {1, 300, 33},
                              {1, 6, 2056}, {2, 700, 8},  {1, 3000, 4}, {3, 1, 7}};

// What both directions give: y, mean, rstd, dx, dweight, dbias.
template <class C>
using NormOutputs = std::array<std::vector<C>, 6>;

template <class T, class Run>
NormOutputs<ComputeOf<T>> RunNorm(const MapShape& s, Run&& run) {
  using C = ComputeOf<T>;
  const int64_t count = s.batch * s.rows * s.channels;
  std::vector<C> x = Normals<C>(1, count), dy = Normals<C>(2, count);
  std::vector<C> weight = Normals<C>(3, s.channels), bias = Normals<C>(4, s.channels);
  for (C& v : x) v = Widen(Narrow<T>(2 * v + 3));
  for (C& v : dy) v = Widen(Narrow<T>(v));
  segment::InstanceNormGradientArgs<T, C> args;
  args.batch = s.batch;
  args.rows = s.rows;
  args.channels = s.channels;
  args.slope = C(0.01);
  args.epsilon = C(1e-5);
  return run(args, x, dy, weight, bias);
}

// The twin on the rounded values, in the type of the arithmetic.
template <class T>
NormOutputs<ComputeOf<T>> NormOfTheTwin(const MapShape& s) {
  using C = ComputeOf<T>;
  return RunNorm<T>(s, [&](const auto& shape, const std::vector<C>& x, const std::vector<C>& dy,
                           const std::vector<C>& weight, const std::vector<C>& bias) {
    NormOutputs<C> out;
    const size_t maps = x.size(), images = static_cast<size_t>(s.batch * s.channels);
    out = {std::vector<C>(maps), std::vector<C>(images),        std::vector<C>(images),
           std::vector<C>(maps), std::vector<C>(weight.size()), std::vector<C>(weight.size())};
    segment::InstanceNormGradientArgs<C> args;
    args.batch = shape.batch;
    args.rows = shape.rows;
    args.channels = shape.channels;
    args.slope = shape.slope;
    args.epsilon = shape.epsilon;
    args.x = x.data();
    args.dy = dy.data();
    args.weight = weight.data();
    args.bias = bias.data();
    args.y = out[0].data();
    args.mean = out[1].data();
    args.rstd = out[2].data();
    args.dx = out[3].data();
    args.dweight = out[4].data();
    args.dbias = out[5].data();
    segment::InstanceNormForward<C>(args);
    segment::InstanceNormBackward<C>(args);
    return out;
  });
}

// The kernel. `offset` elements before x, dy, y and dx take the alignment of vectors away.
template <class T>
NormOutputs<ComputeOf<T>> NormOnTheDevice(const MapShape& s, int64_t offset) {
  using C = ComputeOf<T>;
  return RunNorm<T>(s, [&](auto args, const std::vector<C>& x, const std::vector<C>& dy,
                           const std::vector<C>& weight, const std::vector<C>& bias) {
    const auto stored = [&](const std::vector<C>& values) {
      std::vector<T> narrow(static_cast<size_t>(offset));
      for (const C v : values) narrow.push_back(Narrow<T>(v));
      return narrow;
    };
    const auto read = [&](const DeviceArray<T>& array) {
      const std::vector<T> narrow = array.Host();
      std::vector<C> values;
      for (size_t i = static_cast<size_t>(offset); i < narrow.size(); ++i)
        values.push_back(Widen(narrow[i]));
      return values;
    };
    const DeviceArray<T> gx(stored(x)), gdy(stored(dy));
    const DeviceArray<T> y(std::ssize(x) + offset), dx(std::ssize(x) + offset);
    const DeviceArray<C> gweight(weight), gbias(bias), mean(s.batch * s.channels),
        rstd(s.batch * s.channels), dweight(s.channels), dbias(s.channels),
        workspace(cuda::InstanceNormWorkspace(s.batch, s.rows, s.channels));
    args.x = gx.data() + offset;
    args.dy = gdy.data() + offset;
    args.y = y.data() + offset;
    args.dx = dx.data() + offset;
    args.weight = gweight.data();
    args.bias = gbias.data();
    args.mean = mean.data();
    args.rstd = rstd.data();
    args.dweight = dweight.data();
    args.dbias = dbias.data();
    cuda::InstanceNormForward<T>(args, workspace.data(), nullptr);
    cuda::InstanceNormBackward<T>(args, workspace.data(), nullptr);
    return NormOutputs<C>{read(y),  mean.Host(),    rstd.Host(),
                          read(dx), dweight.Host(), dbias.Host()};
  });
}

//   stored  largest error of an element of T, of the largest
template <class T>
void CompareNorm(double tolerance, double stored) {
  for (const MapShape& s : kMaps) {
    const auto expected = NormOfTheTwin<T>(s);
    for (const int64_t offset : {0, 1}) {
      const auto found = NormOnTheDevice<T>(s, offset);
      for (size_t n = 0; n < found.size(); ++n) {
        EXPECT_LT(LargestDifference(found[n], expected[n]), n == 0 || n == 3 ? stored : tolerance)
            << "output " << n << " of " << s.rows << " rows of " << s.channels;
      }
    }
  }
}

using InstanceNormGpu = DeviceTest;

TEST_F(InstanceNormGpu, AgreesWithTheTwin) {
  CompareNorm<double>(1e-11, 1e-11);
  CompareNorm<float>(2e-5, 2e-5);
}

TEST_F(InstanceNormGpu, Of16BitsComputesIn32) {
  CompareNorm<BFloat16>(2e-5, 5e-3);
  CompareNorm<Float16>(2e-5, 7e-4);
}

}  // namespace
}  // namespace orchard::gpu
