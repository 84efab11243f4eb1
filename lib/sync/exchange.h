// The sum of a message over ranks, in the arena's own type or in fewer bits.
//
// A narrow message is rounded twice: by every rank before it is sent, and by the rank that adds up
// a chunk before the sum is handed back. Both roundings are captured: `residual` is what the sum
// that all ranks get leaves out of what this rank wanted to add, so that over all ranks
//
//   sum of values before = sum that arrives + sum of residuals
//
// up to the rounding of the additions in f32. The algorithms keep the residual in the error.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/half.h"
#include "cli/fields.h"
#include "comm/communicator.h"
#include "sync/message.h"

namespace orchard::sync {

enum class WireFormat { kFull, kBf16, kFp16, kInt8 };
inline constexpr cli::EnumName<WireFormat> kWireFormatNames[] = {{"fp32", WireFormat::kFull},
                                                                 {"bf16", WireFormat::kBf16},
                                                                 {"fp16", WireFormat::kFp16},
                                                                 {"int8", WireFormat::kInt8}};
constexpr auto EnumNames(WireFormat) { return std::span(kWireFormatNames); }

struct WireSetting {
  WireFormat format = WireFormat::kFull;
  bool async = false;  // on the engine's own thread, while this one computes
  uint64_t seed = 0;   // of random rounding (int8)
};

// bf16 and f16 round to nearest (f16 clips at its largest number). int8 has a power of two as unit
// for 1,024 elements of a chunk, the largest that any rank needs, and rounds at random.
template <class T>
class Exchange {
 public:
  // Starts the sum of `values` over ranks, which must live until Finish. Ranks start their
  // exchanges in the same order.
  //   stream  no other exchange with the same seed has it
  void Start(std::span<T> values, comm::Communicator& ranks, const WireSetting& setting,
             uint64_t stream);
  // The second half of a narrow exchange; every exchange of a step first, so that they overlap.
  void Continue();
  // Returns when `values` hold the sum, the same on all ranks.
  void Finish();

  // After Finish: what this rank's values had besides; empty for full messages.
  std::span<const T> residual() const { return residual_; }

 private:
  template <class Half>
  void StartHalf(std::vector<Half>& codes);
  template <class Half>
  void ContinueHalf(std::vector<Half>& codes);
  void StartInt8();
  void ContinueInt8();
  void FinishInt8();

  comm::Communicator* ranks_ = nullptr;
  WireSetting setting_;
  uint64_t stream_ = 0;
  std::span<T> values_;
  std::vector<T> residual_;
  std::vector<BFloat16> bf16_;
  std::vector<Float16> fp16_;
  std::vector<int8_t> int8_;
  std::vector<int8_t> units_;         // exponents of the blocks
  std::vector<float> sum_;            // of this rank's chunk
  std::vector<T> rest_;               // what rounding it leaves out
  std::vector<std::byte> own_, all_;  // int8: what is handed back
  comm::Handle handle_;
};

// What the exchange of `count` elements sends.
Message ExchangeMessage(WireFormat format, int64_t count, int ranks);

}  // namespace orchard::sync
