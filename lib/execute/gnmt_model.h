// GNMT v2 as TorchScript.
#pragma once

#include <string>

#include "execute/options.h"
#include "execute/script_builder.h"

namespace orchard::execute {

// Wu et al., 2016, as `gen --shape gnmt` unrolls it: `layers` LSTM layers of `width` units with
// forget bias 1, the encoder's first one in both directions, additive attention in the decoder's
// first one, whose context all later ones read, residual connections from the third one on. Of
// arguments `source` and `target` [batch, length]; returns the name of the logits [length, batch,
// vocabulary].
std::string BuildGnmt(ScriptBuilder& builder, const ModelOptions& options);

}  // namespace orchard::execute
