// A checkpoint of any size with the shapes of a LLaMA (grouped-query attention, SwiGLU, bf16) and
// noise for weights: what out-of-core work and speed are tried on.
#pragma once

#include <cstdint>
#include <filesystem>

namespace orchard::expand {

struct SyntheticSizes {
  int64_t hidden = 512, ffn = 1408, heads = 8, kv_heads = 2, vocabulary = 4096;
};

// Writes `directory` with as many layers as make the tensors at least `size` bytes; returns their
// bytes. Throws ResourceError (disk full).
int64_t WriteSyntheticModel(const std::filesystem::path& directory, const SyntheticSizes& sizes,
                            int64_t size, uint64_t seed);

}  // namespace orchard::expand
