// Which tokenizer a model and its data go with.
#pragma once

#include <filesystem>
#include <optional>

#include "expand/train_options.h"
#include "io/text/tokenizer.h"

namespace orchard::expand {

// What `options.tokenizer` names; where it is empty tokenizer.json beside the model, else bytes.
// None for images. Throws DataError, ImpossibleError.
std::optional<text::Tokenizer> OpenTrainTokenizer(const TrainDataOptions& options,
                                                  const std::filesystem::path& model);

}  // namespace orchard::expand
