// The attention of cosine_attention.h in TorchScript, for models that run without Orchard.
#pragma once

#include <string>

#include "segment/network_options.h"

namespace orchard::segment {

// Methods of a module, the last of which is
//   attend(self, f: Tensor, cells: List[int]) -> Tuple[Tensor, Tensor]
// from features f [B, N, C] of a map of cells K, J, I to context [B, N, C] and similarity
// [B, N, K + 1], of no channels for `none`. The module has the buffers template_keys [P, N', d],
// template_values [P, N', C] and template_areas [P, K + 1, N'], where P divides B, and, but for
// `none`, q_weight, q_bias, tau [1] and beta [1]. `window` also needs the attributes
// template_cells: List[int] and reach: int.
std::string AttentionScript(AttentionKind kind);

}  // namespace orchard::segment
