// Segmented cosine attention on the CPU, forward and backward, without the matrix of similarities.
//
// Template tokens are sorted by class (those on a border belong to several), and targets run
// through one class after the other in blocks that stay in the cache. Similarities are at most 1,
// so partial sums add up without a running maximum. Products are written with vectors of 64 bytes
// and compiled for AVX-512, AVX2 with FMA and the baseline.
//
// Source: docs/methods/siamese-seg.md; the idea of never storing the matrix: Dao et al.,
// FlashAttention, 2022.
#pragma once

#include <cstdint>

namespace orchard::segment {

// All arrays are contiguous, T is float or double.
template <class T>
struct AttentionArgs {
  int64_t batch = 0, targets = 0, tokens = 0;
  int64_t classes = 0;  // background included: K + 1
  int64_t key_channels = 0, value_channels = 0;
  const T* q = nullptr;      // [batch, targets, key_channels]
  const T* k = nullptr;      // [batch, tokens, key_channels]
  const T* v = nullptr;      // [batch, tokens, value_channels]
  const T* mu = nullptr;     // [batch, classes, tokens]: part of a token that a class covers
  const T* prior = nullptr;  // b_k: [batch, classes], may be null
  T tau = 10, beta = 10;

  T* context = nullptr;     // A: [batch, targets, value_channels]
  T* similarity = nullptr;  // sigma: [batch, targets, classes]
  T* weight = nullptr;      // w: [batch, targets, classes]
  // For the backward pass; null where there is none.
  T* class_context = nullptr;  // a: [batch, targets, classes, value_channels]
  T* mass = nullptr;           // L: [batch, targets, classes]
};

template <class T>
struct AttentionGradientArgs : AttentionArgs<T> {
  const T* d_context = nullptr;     // [batch, targets, value_channels]
  const T* d_similarity = nullptr;  // [batch, targets, classes]

  T* dq = nullptr;  // like q, k, v
  T* dk = nullptr;
  T* dv = nullptr;
  T* d_prior = nullptr;  // [batch, classes]; may be null
  double d_tau = 0, d_beta = 0;
};

// A class without tokens has context 0, similarity -1 and weight 0.
template <class T>
void CosineAttentionForward(const AttentionArgs<T>& args);

// Fills the gradients. Same bits for any number of threads.
template <class T>
void CosineAttentionBackward(AttentionGradientArgs<T>& args);

}  // namespace orchard::segment
