// Cross-entropy plus soft Dice on logits, fused: logits and labels are read once forward and once
// backward, and no one-hot or softmax volume is made.
#pragma once

#include <ATen/core/Tensor.h>

namespace orchard::segment {

struct LossWeights {
  double ce = 1, dice = 1;
  bool batch_dice = false;  // sums over the batch (slices) or per image, then the mean (volumes)
  double smooth = 1e-5;
};

struct LossParts {
  at::Tensor total;  // weights.ce * ce + weights.dice * dice
  double ce = 0;     // mean over voxels that are not ignored, nat
  double dice = 0;   // minus the mean soft Dice of foreground classes
};

// logits [B, K + 1, K', J, I], labels [B, K', J, I] (u8; 255 is ignored). f32 sums within blocks of
// 4096 voxels, double between them: same bits for any number of threads. Throws DataError for a
// label that is no class.
LossParts SegmentationLoss(const at::Tensor& logits, const at::Tensor& labels,
                           const LossWeights& weights);

// The same from LibTorch's operations: the peer in tests, and the path of other devices.
LossParts ComposedSegmentationLoss(const at::Tensor& logits, const at::Tensor& labels,
                                   const LossWeights& weights);

}  // namespace orchard::segment
