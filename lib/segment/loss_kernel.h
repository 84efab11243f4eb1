// CPU kernels of segmentation_loss.h.
#pragma once

#include <cstdint>
#include <vector>

namespace orchard::segment {

// T is float or double. Element (image, class, voxel) of logits is logits[image * image_stride +
// class * class_stride + voxel * voxel_stride]; so is that of the gradient.
template <class T>
struct LossArgs {
  int64_t batch = 0, classes = 0, voxels = 0;
  int64_t image_stride = 0, class_stride = 0, voxel_stride = 0;
  const T* logits = nullptr;
  const uint8_t* labels = nullptr;  // [batch, voxels]
};

// Sums over the voxels of each image.
struct LossSums {
  std::vector<double> intersection, probability, area;  // [batch, classes]
  std::vector<double> ce;                               // [batch]
  std::vector<int64_t> counted;                         // [batch]: voxels that are not ignored
};

template <class T>
LossSums SumLoss(const LossArgs<T>& args);

// gradient = ce_scale * d ce + sum of classes' d p * (inside or outside): the slopes [batch,
// classes] are those of the weighted loss by the probabilities.
template <class T>
void LossGradient(const LossArgs<T>& args, double ce_scale, const std::vector<double>& inside,
                  const std::vector<double>& outside, T* gradient);

}  // namespace orchard::segment
