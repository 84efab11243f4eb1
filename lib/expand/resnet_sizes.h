// Which sizes a residual network can be grown to, the copy maps of its axes, and where new blocks
// stand.
#pragma once

#include <vector>

#include "arch/resnet_shape.h"
#include "expand/plan.h"
#include "expand/sizes.h"

namespace orchard::expand {

// The target's sizes: wishes over the source's. Basic blocks have one width in torchvision, so the
// inner one follows the channels where they were equal. Throws UsageError for sizes of Transformers
// and where a size is smaller than the source's, ImpossibleError for sizes beyond all bounds.
Sizes ResolveResNetSizes(const arch::ResNetShape& source, const TargetOptions& target);
Sizes SizesOf(const arch::ResNetShape& shape);

// Throws ImpossibleError for what the method or an option cannot do to a residual network.
void CheckResNetReachable(const arch::ResNetShape& source, const arch::ResNetShape& target,
                          const MethodOptions& options);

// One map per axis. Every axis is circular, whatever the remainder: batch norms see each channel by
// itself.
StageMaps MakeStageMaps(const arch::ResNetShape& source, const arch::ResNetShape& target,
                        const Recipe& recipe);

// The blocks of all stages in order, numbered over all stages: each stage is grown by itself. Only
// blocks without a convolution beside them can be new; a repeat of one with it becomes one of the
// block after. Throws ImpossibleError where a stage has no such block.
std::vector<LayerPlan> PlaceBlocks(const arch::ResNetShape& source, const arch::ResNetShape& target,
                                   const Recipe& recipe, const MethodOptions& options);

}  // namespace orchard::expand
