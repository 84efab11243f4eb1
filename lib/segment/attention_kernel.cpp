#include "segment/attention_kernel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "segment/attention_element.h"
#include "segment/block_product.h"

namespace orchard::segment {
namespace {

constexpr int64_t kBlock = 64;  // targets and tokens of a block
constexpr int64_t kChunks = 4;  // of targets in the backward pass, each with its own sums

int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// The blocks of tokens of one class.
struct Segment {
  int64_t first = 0, blocks = 0;
  double area = 0;  // M
};

// The template tokens of one image, sorted by class and padded to whole blocks.
template <class T>
struct Tokens {
  int64_t keys = 0, values = 0;  // padded channels
  std::vector<Segment> classes;
  std::vector<int32_t> token;   // of each place; -1: padding
  std::vector<T> mu;            // of each place
  std::vector<T> keys_across;   // [block, keys, kBlock]
  std::vector<T> values_along;  // [block, kBlock, values]
  // Backward only.
  std::vector<T> keys_along;     // [block, kBlock, keys]
  std::vector<T> values_across;  // [block, values, kBlock]

  int64_t blocks() const { return std::ssize(token) / kBlock; }
};

// x / sqrt(|x|^2 + guard^2) of `channels` numbers; returns the factor.
template <class T>
T Normalise(const T* x, int64_t channels, T* y) {
  T squares = static_cast<T>(kNormGuard * kNormGuard);
  for (int64_t c = 0; c < channels; ++c) squares += x[c] * x[c];
  const T factor = T(1) / std::sqrt(squares);
  for (int64_t c = 0; c < channels; ++c) y[c] = x[c] * factor;
  return factor;
}

// Gradient of Normalise: (dy - y (y . dy)) factor.
template <class T>
void NormaliseGradient(const T* y, const T* dy, T factor, int64_t channels, T* dx) {
  T along = 0;
  for (int64_t c = 0; c < channels; ++c) along += y[c] * dy[c];
  for (int64_t c = 0; c < channels; ++c) dx[c] = (dy[c] - y[c] * along) * factor;
}

template <class T>
Tokens<T> Sort(const AttentionArgs<T>& a, int64_t image, bool backward) {
  Tokens<T> t;
  t.keys = RoundUp(a.key_channels, 16);
  t.values = RoundUp(a.value_channels, 16);
  const T* const mu = a.mu + image * a.classes * a.tokens;
  for (int64_t c = 0; c < a.classes; ++c) {
    Segment segment{.first = t.blocks()};
    for (int64_t j = 0; j < a.tokens; ++j) {
      const T part = mu[c * a.tokens + j];
      if (!(part > 0)) continue;
      t.token.push_back(static_cast<int32_t>(j));
      t.mu.push_back(part);
      segment.area += static_cast<double>(part);
    }
    t.token.resize(static_cast<size_t>(RoundUp(std::ssize(t.token), kBlock)), -1);
    t.mu.resize(t.token.size(), T(0));
    segment.blocks = t.blocks() - segment.first;
    t.classes.push_back(segment);
  }
  const auto places = std::ssize(t.token);
  t.keys_across.assign(static_cast<size_t>(places * t.keys), T(0));
  t.values_along.assign(static_cast<size_t>(places * t.values), T(0));
  if (backward) {
    t.keys_along.assign(t.keys_across.size(), T(0));
    t.values_across.assign(t.values_along.size(), T(0));
  }
  std::vector<T> key(static_cast<size_t>(t.keys));
  for (int64_t p = 0; p < places; ++p) {
    const int64_t j = t.token[static_cast<size_t>(p)];
    if (j < 0) continue;
    const int64_t block = p / kBlock, lane = p % kBlock;
    Normalise(a.k + (image * a.tokens + j) * a.key_channels, a.key_channels, key.data());
    const T* const value = a.v + (image * a.tokens + j) * a.value_channels;
    for (int64_t c = 0; c < a.key_channels; ++c)
      t.keys_across[static_cast<size_t>((block * t.keys + c) * kBlock + lane)] =
          key[static_cast<size_t>(c)];
    std::copy_n(value, a.value_channels, t.values_along.data() + p * t.values);
    if (!backward) continue;
    std::copy_n(key.data(), a.key_channels, t.keys_along.data() + p * t.keys);
    for (int64_t c = 0; c < a.value_channels; ++c)
      t.values_across[static_cast<size_t>((block * t.values + c) * kBlock + lane)] = value[c];
  }
  return t;
}

// s becomes the weights of a block of tokens; their sum is added to `mass`.
template <class T>
ORCHARD_BLOCK_CLONES void Weigh(const T* mu, T tau, T* s, T* mass) {
  for (int64_t r = 0; r < kBlock; ++r) {
    T* const row = s + r * kBlock;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < kBlock; ++j) {
      row[j] = TokenWeight<T>(mu[j], row[j], tau);
      sum += row[j];
    }
    mass[r] += sum;
  }
}

// The softmax over classes of beta sigma + prior; absent classes have weight 0.
template <class T>
void WeighClasses(const AttentionArgs<T>& a, int64_t image, const std::vector<Segment>& classes,
                  const T* sigma, T* w) {
  const T* const prior = a.prior ? a.prior + image * a.classes : nullptr;
  T most = -std::numeric_limits<T>::infinity();
  for (int64_t c = 0; c < a.classes; ++c) {
    w[c] = a.beta * sigma[c] + (prior ? prior[c] : T(0));
    if (classes[static_cast<size_t>(c)].area > 0) most = std::max(most, w[c]);
  }
  T sum = 0;
  for (int64_t c = 0; c < a.classes; ++c) {
    w[c] = classes[static_cast<size_t>(c)].area > 0 ? std::exp(w[c] - most) : T(0);
    sum += w[c];
  }
  for (int64_t c = 0; c < a.classes; ++c) w[c] = sum > 0 ? w[c] / sum : T(0);
}

template <class T>
void ForwardBlock(const AttentionArgs<T>& a, const Tokens<T>& t, int64_t image, int64_t first) {
  const int64_t rows = std::min(kBlock, a.targets - first);
  const int64_t place = image * a.targets + first;
  std::vector<T> q(static_cast<size_t>(kBlock * t.keys)), s(kBlock * kBlock);
  std::vector<T> contexts(static_cast<size_t>(a.classes * kBlock * t.values));
  for (int64_t r = 0; r < rows; ++r)
    Normalise(a.q + (place + r) * a.key_channels, a.key_channels, q.data() + r * t.keys);
  for (int64_t c = 0; c < a.classes; ++c) {
    const Segment& segment = t.classes[static_cast<size_t>(c)];
    T* const sums = contexts.data() + c * kBlock * t.values;
    std::array<T, kBlock> mass{};
    for (int64_t b = segment.first; b < segment.first + segment.blocks; ++b) {
      BlockProduct<T>(kBlock, kBlock, a.key_channels, q.data(), t.keys, 1,
                      t.keys_across.data() + b * t.keys * kBlock, kBlock, s.data(), kBlock, false);
      Weigh<T>(t.mu.data() + b * kBlock, a.tau, s.data(), mass.data());
      BlockProduct<T>(kBlock, t.values, kBlock, s.data(), kBlock, 1,
                      t.values_along.data() + b * kBlock * t.values, t.values, sums, t.values,
                      true);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const T l = mass[static_cast<size_t>(r)];
      const bool present = segment.area > 0;
      a.similarity[(place + r) * a.classes + c] =
          present ? ClassSimilarity<T>(l, static_cast<T>(segment.area), a.tau) : T(-1);
      if (a.mass) a.mass[(place + r) * a.classes + c] = l;
      const T scale = present ? T(1) / l : T(0);
      T* const row = sums + r * t.values;
      for (int64_t n = 0; n < a.value_channels; ++n) row[n] *= scale;
      if (!a.class_context) continue;
      std::copy_n(row, a.value_channels,
                  a.class_context + ((place + r) * a.classes + c) * a.value_channels);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    T* const w = a.weight + (place + r) * a.classes;
    WeighClasses(a, image, t.classes, a.similarity + (place + r) * a.classes, w);
    T* const out = a.context + (place + r) * a.value_channels;
    std::fill(out, out + a.value_channels, T(0));
    for (int64_t c = 0; c < a.classes; ++c) {
      if (w[c] == 0) continue;
      const T* const row = contexts.data() + (c * kBlock + r) * t.values;
      for (int64_t n = 0; n < a.value_channels; ++n) out[n] += w[c] * row[n];
    }
  }
}

// ---- backward

// What a chunk of targets adds to the gradients of tokens and scalars.
template <class T>
struct Sums {
  std::vector<T> keys, values;  // in the order of Tokens
  std::vector<double> prior;
  double tau = 0, beta = 0;
};

// What is known of the targets of a block before it meets the tokens.
template <class T>
struct TargetBlock {
  std::vector<T> q, dcontext, dq;
  std::array<T, kBlock> factor{};
  std::vector<T> along;   // g: [classes, kBlock]
  std::vector<T> dsigma;  // [classes, kBlock]
};

template <class T>
TargetBlock<T> Enter(const AttentionGradientArgs<T>& a, const Tokens<T>& t, int64_t place,
                     int64_t rows, Sums<T>& sums) {
  TargetBlock<T> block;
  block.q.assign(static_cast<size_t>(kBlock * t.keys), T(0));
  block.dq = block.q;
  block.dcontext.assign(static_cast<size_t>(kBlock * t.values), T(0));
  block.along.assign(static_cast<size_t>(a.classes * kBlock), T(0));
  block.dsigma = block.along;
  for (int64_t r = 0; r < rows; ++r) {
    block.factor[static_cast<size_t>(r)] =
        Normalise(a.q + (place + r) * a.key_channels, a.key_channels, block.q.data() + r * t.keys);
    const T* const dcontext = a.d_context + (place + r) * a.value_channels;
    std::copy_n(dcontext, a.value_channels, block.dcontext.data() + r * t.values);
    const T* const w = a.weight + (place + r) * a.classes;
    const T* const sigma = a.similarity + (place + r) * a.classes;
    T mean = 0;
    for (int64_t c = 0; c < a.classes; ++c) {
      const T* const own = a.class_context + ((place + r) * a.classes + c) * a.value_channels;
      T along = 0;
      for (int64_t n = 0; n < a.value_channels; ++n) along += dcontext[n] * own[n];
      block.along[static_cast<size_t>(c * kBlock + r)] = along;
      mean += w[c] * along;
    }
    for (int64_t c = 0; c < a.classes; ++c) {
      if (t.classes[static_cast<size_t>(c)].area == 0) continue;
      const T dlogit = w[c] * (block.along[static_cast<size_t>(c * kBlock + r)] - mean);
      const T dsigma = a.d_similarity[(place + r) * a.classes + c] + a.beta * dlogit;
      block.dsigma[static_cast<size_t>(c * kBlock + r)] = dsigma;
      sums.beta += static_cast<double>(sigma[c] * dlogit);
      sums.prior[static_cast<size_t>(c)] += static_cast<double>(dlogit);
      sums.tau -= static_cast<double>(dsigma * sigma[c]) / static_cast<double>(a.tau);
    }
  }
  return block;
}

// From similarities `s` and products `dav` of a block of tokens: `s` becomes w P, what dv sums, and
// `dav` becomes ds.
template <class T>
ORCHARD_BLOCK_CLONES double Pairs(const T* mu, T tau, int64_t rows, const T* inverse_mass,
                                  const T* w, const T* along, const T* dsigma, T* s, T* dav) {
  double dtau = 0;
  for (int64_t r = 0; r < rows; ++r) {
    T* const s_row = s + r * kBlock;
    T* const d_row = dav + r * kBlock;
    const T tau_w = tau * w[r], w_r = w[r], g = along[r], ds_r = dsigma[r], scale = inverse_mass[r];
    const T inverse_tau = T(1) / tau;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < kBlock; ++j) {
      const T similarity = s_row[j];
      const T p = TokenWeight<T>(mu[j], similarity, tau) * scale;
      const T ds = PairGradient<T>(p, tau_w, d_row[j], g, ds_r);
      // d tau collects s P (w (dav - g) + dsigma / tau), which is s ds / tau.
      sum += similarity * ds;
      d_row[j] = ds;
      s_row[j] = p * w_r;
    }
    dtau += static_cast<double>(sum * inverse_tau);
  }
  return dtau;
}

template <class T>
void BackwardBlock(const AttentionGradientArgs<T>& a, const Tokens<T>& t, int64_t image,
                   int64_t first, Sums<T>& sums) {
  const int64_t rows = std::min(kBlock, a.targets - first);
  const int64_t place = image * a.targets + first;
  TargetBlock<T> block = Enter(a, t, place, rows, sums);
  std::vector<T> s(kBlock * kBlock), dav(kBlock * kBlock);
  std::array<T, kBlock> inverse{}, w{};
  for (int64_t c = 0; c < a.classes; ++c) {
    const Segment& segment = t.classes[static_cast<size_t>(c)];
    for (int64_t r = 0; r < rows; ++r) {
      const T mass = a.mass[(place + r) * a.classes + c];
      inverse[static_cast<size_t>(r)] = mass > 0 ? T(1) / mass : T(0);
      w[static_cast<size_t>(r)] = a.weight[(place + r) * a.classes + c];
    }
    for (int64_t b = segment.first; b < segment.first + segment.blocks; ++b) {
      BlockProduct<T>(kBlock, kBlock, a.key_channels, block.q.data(), t.keys, 1,
                      t.keys_across.data() + b * t.keys * kBlock, kBlock, s.data(), kBlock, false);
      BlockProduct<T>(kBlock, kBlock, a.value_channels, block.dcontext.data(), t.values, 1,
                      t.values_across.data() + b * t.values * kBlock, kBlock, dav.data(), kBlock,
                      false);
      // Rows beyond the last target have no weight and no gradient.
      sums.tau += Pairs<T>(t.mu.data() + b * kBlock, a.tau, kBlock, inverse.data(), w.data(),
                           block.along.data() + c * kBlock, block.dsigma.data() + c * kBlock,
                           s.data(), dav.data());
      BlockProduct<T>(kBlock, t.keys, kBlock, dav.data(), kBlock, 1,
                      t.keys_along.data() + b * kBlock * t.keys, t.keys, block.dq.data(), t.keys,
                      true);
      BlockProduct<T>(kBlock, t.keys, kBlock, dav.data(), 1, kBlock, block.q.data(), t.keys,
                      sums.keys.data() + b * kBlock * t.keys, t.keys, true);
      BlockProduct<T>(kBlock, t.values, kBlock, s.data(), 1, kBlock, block.dcontext.data(),
                      t.values, sums.values.data() + b * kBlock * t.values, t.values, true);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    NormaliseGradient(block.q.data() + r * t.keys, block.dq.data() + r * t.keys,
                      block.factor[static_cast<size_t>(r)], a.key_channels,
                      a.dq + (place + r) * a.key_channels);
  }
}

// The gradients of the tokens of one image, from the sums of its chunks in order.
template <class T>
void Scatter(AttentionGradientArgs<T>& a, const Tokens<T>& t, int64_t image,
             std::span<const Sums<T>> chunks) {
  T* const dk = a.dk + image * a.tokens * a.key_channels;
  T* const dv = a.dv + image * a.tokens * a.value_channels;
  std::fill(dk, dk + a.tokens * a.key_channels, T(0));
  std::fill(dv, dv + a.tokens * a.value_channels, T(0));
  for (size_t p = 0; p < t.token.size(); ++p) {
    if (t.token[p] < 0) continue;
    const int64_t j = t.token[p], at = static_cast<int64_t>(p);
    for (const Sums<T>& sums : chunks) {
      for (int64_t c = 0; c < a.key_channels; ++c)
        dk[j * a.key_channels + c] += sums.keys[static_cast<size_t>(at * t.keys + c)];
      for (int64_t c = 0; c < a.value_channels; ++c)
        dv[j * a.value_channels + c] += sums.values[static_cast<size_t>(at * t.values + c)];
    }
  }
  std::vector<T> key(static_cast<size_t>(a.key_channels)), gradient(key.size());
  for (int64_t j = 0; j < a.tokens; ++j) {
    T* const row = dk + j * a.key_channels;
    const T factor =
        Normalise(a.k + (image * a.tokens + j) * a.key_channels, a.key_channels, key.data());
    std::copy_n(row, a.key_channels, gradient.data());
    NormaliseGradient(key.data(), gradient.data(), factor, a.key_channels, row);
  }
}

}  // namespace

template <class T>
void CosineAttentionForward(const AttentionArgs<T>& a) {
  std::vector<Tokens<T>> tokens(static_cast<size_t>(a.batch));
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) tokens[static_cast<size_t>(n)] = Sort(a, n, false);
  });
  const int64_t blocks = (a.targets + kBlock - 1) / kBlock;
  at::parallel_for(0, a.batch * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      ForwardBlock(a, tokens[static_cast<size_t>(n / blocks)], n / blocks, n % blocks * kBlock);
    }
  });
}

template <class T>
void CosineAttentionBackward(AttentionGradientArgs<T>& a) {
  std::vector<Tokens<T>> tokens(static_cast<size_t>(a.batch));
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) tokens[static_cast<size_t>(n)] = Sort(a, n, true);
  });
  const int64_t blocks = (a.targets + kBlock - 1) / kBlock;
  const int64_t chunks = std::min(kChunks, blocks);
  std::vector<Sums<T>> sums(static_cast<size_t>(a.batch * chunks));
  at::parallel_for(0, a.batch * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t image = n / chunks, chunk = n % chunks;
      const Tokens<T>& t = tokens[static_cast<size_t>(image)];
      Sums<T>& own = sums[static_cast<size_t>(n)];
      own.keys.assign(t.keys_along.size(), T(0));
      own.values.assign(t.values_along.size(), T(0));
      own.prior.assign(static_cast<size_t>(a.classes), 0);
      for (int64_t b = chunk * blocks / chunks; b < (chunk + 1) * blocks / chunks; ++b)
        BackwardBlock(a, t, image, b * kBlock, own);
    }
  });
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      Scatter(a, tokens[static_cast<size_t>(n)], n,
              std::span<const Sums<T>>(sums).subspan(static_cast<size_t>(n * chunks),
                                                     static_cast<size_t>(chunks)));
    }
  });
  a.d_tau = a.d_beta = 0;
  for (int64_t n = 0; n < a.batch * chunks; ++n) {
    a.d_tau += sums[static_cast<size_t>(n)].tau;
    a.d_beta += sums[static_cast<size_t>(n)].beta;
  }
  if (!a.d_prior) return;
  for (int64_t n = 0; n < a.batch; ++n) {
    for (int64_t c = 0; c < a.classes; ++c) {
      double sum = 0;
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        sum += sums[static_cast<size_t>(n * chunks + chunk)].prior[static_cast<size_t>(c)];
      a.d_prior[n * a.classes + c] = static_cast<T>(sum);
    }
  }
}

template void CosineAttentionForward(const AttentionArgs<float>&);
template void CosineAttentionForward(const AttentionArgs<double>&);
template void CosineAttentionBackward(AttentionGradientArgs<float>&);
template void CosineAttentionBackward(AttentionGradientArgs<double>&);

}  // namespace orchard::segment
