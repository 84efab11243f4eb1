// What every launcher needs: the stream type without CUDA's headers, argument checks, and launch
// errors as Orchard's.
#pragma once

#include <cstdint>
#include <string>

// CUDA's own name of a stream, declared as its headers do, so that launchers can be called from
// files that do not see them.
struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace orchard::cuda {

// Whether the driver is there and has at least one device.
bool DeviceAvailable();

// Throws UsageError "<kernel>: <what>" naming `tensor` unless `ok`.
void CheckArgument(bool ok, const char* kernel, const std::string& tensor, const std::string& what);

// Throws ResourceError (out of memory, no device) or an internal Error, naming kernel and tensor,
// when the last launch failed. Errors inside a running kernel show up at the next synchronisation.
void CheckLaunch(const char* kernel, const std::string& tensor);

// Blocks for a grid-stride loop over `items` with `per_block` items each: at most 16 blocks per
// multiprocessor, at least one.
int GridSize(int64_t items, int64_t per_block);

}  // namespace orchard::cuda
