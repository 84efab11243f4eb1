// Where an image looks like each class of a template, and what the template looks like there:
// attention by cosine similarity, class by class.
//
// Source: docs/methods/siamese-seg.md. Notation: N target tokens, N' template tokens, K + 1 classes
// with the background as class 0.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace orchard::segment {

// Tokens of a template at one level. Several templates are concatenated along N'.
struct TemplateTokens {
  at::Tensor k;   // [B, N', d], of any length
  at::Tensor v;   // [B, N', C]
  at::Tensor mu;  // [B, K + 1, N']: the part of the token's cell that a class covers
};

struct AttentionResult {
  at::Tensor context;     // A: [B, N, C]
  at::Tensor similarity;  // sigma: [B, N, K + 1], in [-1, 1]; -1 for absent classes
  at::Tensor weight;      // w: [B, N, K + 1], without gradient
};

// q [B, N, d], any length; tau and beta single numbers; prior b [B, K + 1] or undefined. On the CPU
// the kernel of attention_kernel.h (f32, f64), elsewhere a kernel or the composition below.
AttentionResult CosineAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                const at::Tensor& tau, const at::Tensor& beta,
                                const at::Tensor& prior = {});

// The same from LibTorch's operations, with the whole matrix of similarities: the peer of the
// kernel in tests and benchmarks. `near` [N, N'], if defined, keeps pairs that are true.
AttentionResult ComposedCosineAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                        const at::Tensor& tau, const at::Tensor& beta,
                                        const at::Tensor& prior = {}, const at::Tensor& near = {});

// What one set of tokens adds to the sums of each class, from which attention to several sets
// follows; without gradients.
struct ClassSums {
  at::Tensor mass;     // L: [B, N, K + 1]
  at::Tensor context;  // a: [B, N, K + 1, C], 0 where a class has no token
  at::Tensor area;     // M: [B, K + 1]
};
ClassSums SumClasses(const at::Tensor& q, const TemplateTokens& tokens, const at::Tensor& tau);

// The softmax over classes of `logits` [B, N, K + 1], without those of area 0 [B, K + 1].
at::Tensor ClassSoftmax(const at::Tensor& logits, const at::Tensor& area);

// The variants of the ablation.
//   prototype  a class is the mean of its unit keys, and its context the mean of its values
//   mean       A = mean_j s_ij v_j; sigma is the mean similarity of each class
//   dot        softmax of q k / sqrt(d) over all tokens; sigma is the part of it that a class gets
AttentionResult PrototypeAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                   const at::Tensor& tau);
AttentionResult MeanAttention(const at::Tensor& q, const TemplateTokens& tokens);
AttentionResult DotAttention(const at::Tensor& q, const TemplateTokens& tokens);

// Which cells of two grids of (K, J, I) cells are at most `reach` apart along every axis, after
// both are stretched over the same box. [N, N'].
at::Tensor NearCells(at::IntArrayRef target_cells, at::IntArrayRef template_cells, int64_t reach);

// labels [B, K, J, I] (u8, 0..classes-1) to mu [B, classes, N'] on a grid of `cells`, which divide
// them: areas of each class, which sum to 1 in every cell.
at::Tensor ClassAreas(const at::Tensor& labels, int64_t classes, at::IntArrayRef cells);

}  // namespace orchard::segment
