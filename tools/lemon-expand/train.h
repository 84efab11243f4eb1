// lemon-expand train: the options, known to both halves.
#pragma once

#include "expand/train_options.h"

namespace orchard::lemon_expand {

using TrainCommandOptions = expand::TrainOptions;

}  // namespace orchard::lemon_expand
