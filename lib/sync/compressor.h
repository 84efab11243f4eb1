// Compressors: what a message keeps of a vector, and how the mean of what all ranks keep is made.
//
// All have one operation, the partial synchronisation (PSync) of CSER in place: of v_i =
// `residual`, C(v_i) is taken out, and the mean over ranks of C(v_j) is added to `target`. The sum
// over ranks of residual + target keeps its value for every compressor, biased or not.
//
// Source: CSER, sec. 2 (PSync); docs/methods/cser-train.md for each compressor's message.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "cli/fields.h"
#include "comm/communicator.h"
#include "sync/arena.h"
#include "sync/block_selector.h"
#include "sync/device.h"
#include "sync/message.h"
#include "sync/ratio_stages.h"

namespace orchard::sync {

enum class CompressorKind { kNone, kIdentity, kGrbs, kRandomK, kTopK, kSign, kInt8 };
inline constexpr cli::EnumName<CompressorKind> kCompressorKindNames[] = {
    {"none", CompressorKind::kNone},  {"identity", CompressorKind::kIdentity},
    {"grbs", CompressorKind::kGrbs},  {"random-k", CompressorKind::kRandomK},
    {"top-k", CompressorKind::kTopK}, {"sign", CompressorKind::kSign},
    {"int8", CompressorKind::kInt8}};
constexpr auto EnumNames(CompressorKind) { return std::span(kCompressorKindNames); }

template <class T>
class Compressor {
 public:
  virtual ~Compressor() = default;

  // residual <- v - C(v), with v what it held; target += scale * mean over ranks of C(v).
  //   draw  number of the draw, >= 0; the same on all ranks
  virtual void Exchange(int64_t draw, std::span<T> residual, T scale, std::span<T> target,
                        comm::Communicator& ranks) = 0;

  // Where C keeps a vector, if that is the same for all ranks whatever they hold: then messages are
  // dense, and updates can be fused with gathering them. Nothing for the others.
  virtual std::optional<Selection> CommonSupport(int64_t /*draw*/) const { return std::nullopt; }

  virtual Message MessageOf(int64_t draw) const = 0;
};

// `options` matter to grbs; its ratio to random-k and top-k, too. `stream` keeps the draws of
// different compressors apart. `layout` and `device`, which selects for top-k, must outlive the
// result.
template <class T>
std::unique_ptr<Compressor<T>> MakeCompressor(CompressorKind kind, const ArenaLayout& layout,
                                              const SelectorOptions& options, uint64_t seed,
                                              std::string_view stream,
                                              const Device& device = Device::Cpu());

// The same with a ratio that changes over the run. draws_before(t) says how many draws the steps
// before step t make.
template <class T>
std::unique_ptr<Compressor<T>> MakeStagedCompressor(
    CompressorKind kind, const ArenaLayout& layout, const SelectorOptions& options, uint64_t seed,
    std::string_view stream, const RatioStages& stages,
    const std::function<int64_t(int64_t)>& draws_before, const Device& device = Device::Cpu());

}  // namespace orchard::sync
