// A trained model as a TorchScript module, which any program with LibTorch runs without Orchard
// (docs/formats.md).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/thread_pool.h"
#include "segment/template_bank.h"
#include "segment/template_network.h"

namespace orchard::segment {

// forward(image [B, M, K, J, I]) gives logits [B, K + 1, K, J, I] as the network's decoder does,
// sides being multiples of the strides. These `templates` of the bank steer it: they are encoded
// here, and what attention needs of them are buffers. One that fits into a patch is centred in it,
// as for every window of a prediction; a larger one is stretched over it, as with align = global.
// In context the classes are those that some template has. Throws UsageError where the network
// needs templates and there are none, ResourceError where the file cannot be written.
void WriteScriptModel(const std::filesystem::path& file, const TemplateNetwork& network,
                      const TemplateBank& bank, std::span<const size_t> templates,
                      ThreadPool& pool);

}  // namespace orchard::segment
