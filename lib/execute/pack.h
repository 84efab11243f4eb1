// Packing: many small tensors that go to one device travel in one buffer, since every copy costs
// its latency. CUDA twin: cuda/execute/pack.h.
#pragma once

#include <cstdint>

#include "execute/pack_element.h"

namespace orchard::execute {

inline constexpr int kPackMost = 64;  // tensors of one call, which travel as launch arguments

struct PackArgs {
  PackItem items[kPackMost];
  int count = 0;
  void* buffer = nullptr;  // aligned to 16 bytes
  bool unpack = false;     // out of the buffer, instead of into it
};

// Appends a tensor behind the ones before it and returns its offset. `end` is the size of the
// buffer so far, and grows to a multiple of kPackAlignment.
int64_t AddToPack(PackArgs& args, void* tensor, int64_t bytes, int64_t& end);

// Copies on the CPU. Throws UsageError when an argument does not fit.
void Pack(const PackArgs& args);

// Throws UsageError unless counts, sizes and offsets are in range and pointers are set.
void CheckPack(const PackArgs& args);

}  // namespace orchard::execute
