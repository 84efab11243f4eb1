#include "segment/bench.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <functional>

#include "base/clock.h"
#include "base/error.h"
#include "nn/random_tensor.h"
#include "segment/cosine_attention.h"
#include "segment/instance_norm.h"
#include "segment/segmentation_loss.h"

#ifdef __linux__
#include <malloc.h>
#endif

namespace orchard::segment {
namespace {

// Bytes behind `key` in /proc/self/status, or 0.
int64_t StatusBytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != key) continue;
    int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

// Lets the peak of the resident memory begin anew; false where the system cannot.
bool ResetPeak() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5";
  return static_cast<bool>(clear.flush());
}

BenchResult Measure(const std::string& name, int64_t repeats, const std::function<void()>& work) {
  BenchResult best{.name = name, .wall_seconds = 1e30, .cpu_seconds = 1e30};
  work();  // pages, threads and caches are there
  for (int64_t n = 0; n < repeats; ++n) {
#ifdef __GLIBC__
    malloc_trim(0);  // what an earlier run left would hide what this one takes
#endif
    const bool counted = ResetPeak();
    const int64_t before = StatusBytes("VmRSS:");
    const double wall = SecondsNow();
    const std::clock_t cpu = std::clock();
    work();
    best.cpu_seconds = std::min(best.cpu_seconds, static_cast<double>(std::clock() - cpu) /
                                                      static_cast<double>(CLOCKS_PER_SEC));
    best.wall_seconds = std::min(best.wall_seconds, SecondsNow() - wall);
    if (counted) {
      best.extra_bytes =
          std::max(best.extra_bytes, std::max<int64_t>(0, StatusBytes("VmHWM:") - before));
    }
  }
  return best;
}

// Half of the tokens are background, the others divided among the classes in runs; one in sixteen
// is on a border and belongs to two.
at::Tensor Areas(const BenchOptions& o) {
  at::Tensor mu = at::zeros({o.batch, o.classes, o.tokens});
  for (int64_t j = 0; j < o.tokens; ++j) {
    const int64_t half = o.tokens / 2, foreground = std::max<int64_t>(1, o.classes - 1);
    const int64_t c = j < half || o.classes == 1
                          ? 0
                          : 1 + std::min(foreground - 1, (j - half) * foreground /
                                                             std::max<int64_t>(1, o.tokens - half));
    const bool border = j % 16 == 0 && o.classes > 1;
    mu.select(1, c).select(1, j).fill_(border ? 0.5 : 1.0);
    if (border) mu.select(1, (c + 1) % o.classes).select(1, j).fill_(0.5);
  }
  return mu;
}

using Attention = AttentionResult (*)(const at::Tensor&, const TemplateTokens&, const at::Tensor&,
                                      const at::Tensor&);

AttentionResult Kernel(const at::Tensor& q, const TemplateTokens& t, const at::Tensor& tau,
                       const at::Tensor& beta) {
  return CosineAttention(q, t, tau, beta);
}
AttentionResult Composed(const at::Tensor& q, const TemplateTokens& t, const at::Tensor& tau,
                         const at::Tensor& beta) {
  return ComposedCosineAttention(q, t, tau, beta);
}

std::vector<BenchResult> BenchAttention(const BenchOptions& o, uint64_t seed) {
  const auto tensor = [&](const char* name) {
    return nn::RandomNormal(name, {o.batch, o.tokens, o.channels}, 1, seed, at::kFloat)
        .requires_grad_();
  };
  const at::Tensor q = tensor("q");
  const TemplateTokens tokens{tensor("k"), tensor("v"), Areas(o)};
  const at::Tensor tau = at::full({1}, 10.0).requires_grad_();
  const at::Tensor beta = at::full({1}, 10.0).requires_grad_();
  std::vector<BenchResult> results;
  for (const auto& [name, attention] :
       {std::pair<std::string, Attention>("kernel", Kernel), {"LibTorch", Composed}}) {
    results.push_back(Measure(name + " forward", o.repeats, [&, attention = attention] {
      const c10::NoGradGuard no_gradient;
      attention(q, tokens, tau, beta);
    }));
    results.push_back(
        Measure(name + " forward and backward", o.repeats, [&, attention = attention] {
          for (const at::Tensor& t : {q, tokens.k, tokens.v, tau, beta})
            t.mutable_grad() = at::Tensor();
          const AttentionResult r = attention(q, tokens, tau, beta);
          (r.context.sum() + r.similarity.sum()).backward();
        }));
  }
  return results;
}

std::vector<BenchResult> BenchLoss(const BenchOptions& o, uint64_t seed) {
  const std::vector<int64_t> shape = {o.batch, o.classes, o.size[2], o.size[1], o.size[0]};
  const at::Tensor logits = nn::RandomNormal("logits", shape, 1, seed, at::kFloat)
                                .contiguous(at::MemoryFormat::ChannelsLast3d)
                                .requires_grad_();
  const at::Tensor labels =
      at::randint(0, o.classes, {o.batch, shape[2], shape[3], shape[4]}).to(at::kByte);
  std::vector<BenchResult> results;
  for (const auto& [name, loss] :
       {std::pair("kernel", &SegmentationLoss), {"LibTorch", &ComposedSegmentationLoss}}) {
    results.push_back(
        Measure(std::string(name) + " forward and backward", o.repeats, [&, loss = loss] {
          logits.mutable_grad() = at::Tensor();
          loss(logits, labels, {}).total.backward();
        }));
  }
  return results;
}

std::vector<BenchResult> BenchNorm(const BenchOptions& o, uint64_t seed) {
  const std::vector<int64_t> shape = {o.batch, o.channels, o.size[2], o.size[1], o.size[0]};
  const auto map = [&](const char* name) {
    return nn::RandomNormal(name, shape, 1, seed, at::kFloat)
        .contiguous(at::MemoryFormat::ChannelsLast3d);
  };
  const at::Tensor x = map("x").requires_grad_(), dy = map("dy");
  const at::Tensor weight = at::ones({o.channels}).requires_grad_();
  const at::Tensor bias = at::zeros({o.channels}).requires_grad_();
  const auto composed = [](const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
    return at::leaky_relu(at::instance_norm(x, w, b, {}, {}, true, 0, 1e-5, false), 0.01);
  };
  return {Measure("kernel forward and backward", o.repeats,
                  [&] { InstanceNormLeakyRelu(x, weight, bias).backward(dy); }),
          Measure("LibTorch forward and backward", o.repeats,
                  [&] { composed(x, weight, bias).backward(dy); })};
}

}  // namespace

std::vector<BenchResult> Bench(const BenchOptions& options, uint64_t seed) {
  if (options.size.size() != 3) throw UsageError("three sizes are wanted", "--size", "i,j,k");
  switch (options.what) {
    case BenchKind::kLoss:
      return BenchLoss(options, seed);
    case BenchKind::kNorm:
      return BenchNorm(options, seed);
    default:
      return BenchAttention(options, seed);
  }
}

}  // namespace orchard::segment
