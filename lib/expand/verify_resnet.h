// `verify` for residual networks: what a block passes on must be the source's with its copies of
// channels, block by block, and the logits the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "expand/verify.h"

namespace orchard::expand {

// As Verify, for two directories or files that hold ResNets. Both are in memory as a whole.
VerifyResult VerifyResNet(const std::filesystem::path& source, const std::filesystem::path& target,
                          const VerifyOptions& options, uint64_t seed,
                          const std::function<void(int64_t done, int64_t total)>& on_layer);

}  // namespace orchard::expand
