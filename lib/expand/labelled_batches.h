// Labelled texts as batches for fine-tuning.
#pragma once

#include <memory>

#include "expand/batches.h"

namespace orchard::expand {

// Opens the files that `options` (DataKind::kLabels) name. A text, or pair of texts, gets the
// tokenizer's special tokens and at most `options.block` tokens in all, cut from the end of the
// longer text; a batch is padded to its longest. Without a file for validation, a part of the
// training file chosen at random is kept for it; labels of a file for validation must be among
// those of training. Throws DataError, UsageError.
std::unique_ptr<Batches> OpenLabelledBatches(const TrainDataOptions& options,
                                             const text::Tokenizer* tokenizer);

}  // namespace orchard::expand
