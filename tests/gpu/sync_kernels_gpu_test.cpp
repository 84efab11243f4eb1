// The kernels of cuda/sync against their twins: the same bits, for every rule of a step, on vector
// and single-element paths.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "cuda/sync/drift_sums.h"
#include "cuda/sync/top_k_select.h"
#include "cuda/sync/update_kernels.h"
#include "cuda/sync/wire_codec.h"
#include "gpu/device_array.h"
#include "sync/pieces.h"

namespace orchard::sync {
namespace {

using gpu::DeviceArray;

class SyncKernels : public gpu::DeviceTest {};

template <class T>
std::vector<T> Numbers(int64_t count, uint64_t stream) {
  std::vector<T> v(count);
  for (int64_t i = 0; i < count; ++i) {
    const Philox4 random = PhiloxAt(PhiloxKey(3, 1), static_cast<uint64_t>(i), stream);
    v[i] = static_cast<T>(2 * UniformDouble(random.word[0], random.word[1]) - 1);
  }
  return v;
}

// The arrays of an update, on one side.
template <class T>
struct Arrays {
  std::vector<T> g, x, m, v, e, extra, wire;
  explicit Arrays(int64_t size, int64_t sent)
      : g(Numbers<T>(size, 1)),
        x(Numbers<T>(size, 2)),
        m(Numbers<T>(size, 3)),
        v(Numbers<T>(size, 4)),
        e(Numbers<T>(size, 5)),
        extra(Numbers<T>(size, 6)),
        wire(sent) {
    for (T& value : v) value = value * value;
  }
};

template <class T>
struct OnDevice {
  explicit OnDevice(const Arrays<T>& a)
      : g(a.g), x(a.x), m(a.m), v(a.v), e(a.e), extra(a.extra), wire(a.wire) {}
  DeviceArray<T> g, x, m, v, e, extra, wire;
};

// Arguments that point into arrays of either kind.
template <class T, class A>
UpdateArgs<T> ArgsOf(A& a, StepRule rule) {
  UpdateArgs<T> args;
  args.scalars = {T(0.01), T(0.9),  T(5e-4), T(0.5), T(0.1),
                  T(0.99), T(0.01), T(0.02), T(1.1), T(1e-8)};
  args.rule = rule;
  args.theta = T(0.75);
  args.gradient = a.g.data();
  args.values = a.x.data();
  args.momentum = a.m.data();
  args.second_moment = a.v.data();
  args.error = a.e.data();
  args.extra = a.extra.data();
  args.wire = a.wire.data();
  return args;
}

// Blocks (vectors) and single places with odd borders.
std::vector<Selection> Selections(int64_t size) {
  Selection blocks, odd;
  for (int64_t begin = 64; begin + 32 <= size; begin += 352) {
    blocks.runs.push_back({begin, begin + 32});
    blocks.count += 32;
  }
  for (int64_t begin = 3; begin + 5 <= size; begin += 101) {
    odd.runs.push_back({begin, begin + 5});
    odd.count += 5;
  }
  return {blocks, odd, Selection{}};
}

template <class T>
void ExpectSame(const Arrays<T>& host, const OnDevice<T>& device, const std::string& what) {
  EXPECT_EQ(device.x.Host(), host.x) << what;
  EXPECT_EQ(device.m.Host(), host.m) << what;
  EXPECT_EQ(device.v.Host(), host.v) << what;
  EXPECT_EQ(device.e.Host(), host.e) << what;
  EXPECT_EQ(device.extra.Host(), host.extra) << what;
  EXPECT_EQ(device.wire.Host(), host.wire) << what;
}

template <class T>
void CompareUpdates() {
  const int64_t size = 70000;
  struct Kernel {
    const char* name;
    void (*twin)(const UpdateArgs<T>&, ThreadPool*);
    void (*launch)(const UpdateArgs<T>&, cudaStream_t);
    bool any_rule;
  };
  const Kernel kernels[] = {{"LocalStep", &LocalStep<T>, &cuda::LocalStep, true},
                            {"SplitStep", &SplitStep<T>, &cuda::SplitStep, true},
                            {"QsparseStep", &QsparseStep<T>, &cuda::QsparseStep, true},
                            {"ErrorFeedback", &ErrorFeedback<T>, &cuda::ErrorFeedback, false}};
  for (const Selection& sent : Selections(size)) {
    const RegionPieces divided = Divide({0, size}, std::span(&sent, 1));
    std::vector<Piece> pieces = divided.early;
    pieces.insert(pieces.end(), divided.late.begin(), divided.late.end());
    const DeviceArray<Piece> device_pieces(pieces);
    for (const Kernel& k : kernels) {
      for (const StepRule rule :
           {StepRule::kNesterov, StepRule::kHeavyBall, StepRule::kRelease, StepRule::kAdam,
            StepRule::kAdamW, StepRule::kLion, StepRule::kGiven}) {
        if (!k.any_rule && rule != StepRule::kNesterov) continue;
        Arrays<T> host(size, sent.count);
        OnDevice<T> device(host);
        UpdateArgs<T> args = ArgsOf<T>(host, rule);
        args.pieces = pieces.data();
        args.piece_count = std::ssize(pieces);
        k.twin(args, nullptr);
        args = ArgsOf<T>(device, rule);
        args.pieces = device_pieces.data();
        args.piece_count = std::ssize(pieces);
        k.launch(args, nullptr);
        ExpectSame(host, device,
                   std::string(k.name) + ", rule " + std::to_string(static_cast<int>(rule)));
      }
    }
  }
}

TEST_F(SyncKernels, UpdatesAreTheTwinsBits) { CompareUpdates<float>(); }

template <class T>
void CompareMoves() {
  const int64_t size = 30000;
  for (const Selection& sent : Selections(size)) {
    const std::vector<Piece> pieces = PiecesOf(sent, 0);
    const DeviceArray<Piece> device_pieces(pieces);
    for (int what = 0; what < 5; ++what) {
      Arrays<T> host(size, sent.count);
      host.wire = Numbers<T>(sent.count, 9);
      OnDevice<T> device(host);
      const auto run = [&](auto& a, const Piece* p, auto&& call) {
        call(MoveArgs<T>{p, std::ssize(pieces), a.wire.data(), a.x.data(), T(0.3)}, a.e.data());
      };
      run(host, pieces.data(), [&](const MoveArgs<T>& a, T* e) {
        what == 0   ? Gather(a)
        : what == 1 ? Take(a)
        : what == 2 ? Scatter(a)
        : what == 3 ? ScatterAdd(a)
                    : ResetError(a, T(0.6), e);
      });
      run(device, device_pieces.data(), [&](const MoveArgs<T>& a, T* e) {
        what == 0   ? cuda::Gather(a, nullptr)
        : what == 1 ? cuda::Take(a, nullptr)
        : what == 2 ? cuda::Scatter(a, nullptr)
        : what == 3 ? cuda::ScatterAdd(a, nullptr)
                    : cuda::ResetError(a, T(0.6), e, nullptr);
      });
      ExpectSame(host, device, "move " + std::to_string(what));
    }
  }
}

TEST_F(SyncKernels, MovesAreTheTwinsBits) { CompareMoves<float>(); }

template <class Half>
void CompareHalves() {
  std::vector<float> values = Numbers<float>(5000, 1);
  values[7] = 1e6f;
  values[8] = 1e-9f;
  const DeviceArray<float> device(values);
  std::vector<Half> codes(values.size());
  const DeviceArray<Half> device_codes(std::ssize(values));
  EncodeHalf<float, Half>({std::ssize(values), values.data(), codes.data()});
  cuda::EncodeHalf<float, Half>({std::ssize(values), device.data(), device_codes.data()}, nullptr);
  EXPECT_EQ(device.Host(), values);
  const std::vector<Half> back = device_codes.Host();
  for (size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(back[i].bits, codes[i].bits) << i;
}

TEST_F(SyncKernels, HalfCodesAreTheTwinsBits) {
  CompareHalves<BFloat16>();
  CompareHalves<Float16>();
}

TEST_F(SyncKernels, Int8CodesAreTheTwinsBits) {
  std::vector<float> values = Numbers<float>(5003, 1);
  for (int64_t i = 1024; i < 2048; ++i) values[i] *= 1e-5f;
  std::fill_n(values.begin() + 2048, 1024, 0.0f);
  const DeviceArray<float> device(values);
  std::vector<int8_t> exponents(5), codes(values.size());
  const DeviceArray<int8_t> device_exponents(5), device_codes(std::ssize(values));
  Int8Args<float> args{
      std::ssize(values), values.data(), exponents.data(), codes.data(), PhiloxKey(4, 5), 17, 99};
  FindExponents(args);
  EncodeInt8(args);
  args.values = device.data();
  args.exponents = device_exponents.data();
  args.codes = device_codes.data();
  cuda::FindExponents(args, nullptr);
  cuda::EncodeInt8(args, nullptr);
  EXPECT_EQ(device_exponents.Host(), exponents);
  EXPECT_EQ(device_codes.Host(), codes);
  EXPECT_EQ(device.Host(), values);
  cuda::DecodeInt8(args, nullptr);
  args.values = values.data();
  args.exponents = exponents.data();
  args.codes = codes.data();
  DecodeInt8(args);
  EXPECT_EQ(device.Host(), values);
}

TEST_F(SyncKernels, DriftIsThatOfTheTwin) {
  std::vector<float> values = Numbers<float>(100001, 1);
  const std::vector<float> mean = Numbers<float>(100001, 2);
  values[5] = INFINITY;
  values[50000] = NAN;
  const DriftSums twin = SumDrift(std::ssize(values), values.data(), mean.data());
  const DeviceArray<float> x(values), m(mean);
  const DeviceArray<char> workspace(cuda::DriftWorkspace(std::ssize(values)));
  const DeviceArray<DriftSums> sums(1);
  cuda::SumDrift(std::ssize(values), x.data(), m.data(), workspace.data(), sums.data(), nullptr);
  const DriftSums out = sums.Host()[0];
  EXPECT_NEAR(out.apart, twin.apart, 1e-10 * twin.apart);
  EXPECT_NEAR(out.norm, twin.norm, 1e-10 * twin.norm);
  EXPECT_EQ(out.not_finite, 2);
}

template <class T>
void CompareTopK() {
  std::vector<T> values = Numbers<T>(40000, 1);
  for (int64_t i = 20000; i < 40000; ++i) values[i] = static_cast<T>(i % 7) - 3;  // ties
  values[11] = static_cast<T>(NAN);
  values[12] = static_cast<T>(-INFINITY);
  std::vector<TopKSegment> segments;
  int64_t out = 0;
  const std::vector<std::array<int64_t, 3>> tensors = {
      {0, 10000, 100}, {10016, 1, 1}, {10048, 700, 699}, {20000, 20000, 5000}, {30000, 33, 33}};
  for (const auto& [offset, count, kept] : tensors) {
    segments.push_back({offset, count, kept, out});
    out += kept;
  }
  std::vector<int32_t> places(out);
  SelectTopK<T>({values.data(), segments.data(), std::ssize(segments), places.data()});
  const DeviceArray<T> device(values);
  const DeviceArray<TopKSegment> device_segments(segments);
  const DeviceArray<int32_t> device_places(out);
  cuda::SelectTopK<T>(
      {device.data(), device_segments.data(), std::ssize(segments), device_places.data()}, nullptr);
  EXPECT_EQ(device_places.Host(), places);
}

TEST_F(SyncKernels, TopKSelectsTheTwinsPlaces) {
  CompareTopK<float>();
  CompareTopK<double>();
}

TEST_F(SyncKernels, ArgumentsAreChecked) {
  UpdateArgs<float> args;
  const DeviceArray<Piece> pieces(1);
  args.pieces = pieces.data();
  args.piece_count = 1;
  EXPECT_THROW(cuda::LocalStep(args, nullptr), UsageError);
  EXPECT_THROW(cuda::SelectTopK<float>({nullptr, nullptr, 1, nullptr}, nullptr), UsageError);
}

}  // namespace
}  // namespace orchard::sync
