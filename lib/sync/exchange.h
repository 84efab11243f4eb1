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
#include <memory_resource>
#include <span>
#include <vector>

#include "base/half.h"
#include "cli/fields.h"
#include "comm/communicator.h"
#include "sync/device.h"
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
  //   device  where narrow messages are rounded; it must outlive the exchange
  explicit Exchange(const Device& device = Device::Cpu())
      : device_(&device),
        residual_(&device.messages()),
        bf16_(&device.messages()),
        fp16_(&device.messages()),
        int8_(&device.messages()),
        units_(&device.messages()),
        rest_(&device.messages()),
        own_(&device.messages()),
        all_(&device.messages()) {}

  // Starts the sum of `values` over ranks, which must live until Finish. Ranks start their
  // exchanges in the same order. Narrow messages must be done, and in memory that the host reads.
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
  void StartHalf(std::pmr::vector<Half>& codes);
  template <class Half>
  void ContinueHalf(std::pmr::vector<Half>& codes);
  void StartInt8();
  void ContinueInt8();
  void FinishInt8();

  const Device* device_;
  comm::Communicator* ranks_ = nullptr;
  WireSetting setting_;
  uint64_t stream_ = 0;
  std::span<T> values_;
  std::pmr::vector<T> residual_;
  std::pmr::vector<BFloat16> bf16_;
  std::pmr::vector<Float16> fp16_;
  std::pmr::vector<int8_t> int8_;
  std::pmr::vector<int8_t> units_;         // exponents of the blocks
  std::vector<float> sum_;                 // of this rank's chunk
  std::pmr::vector<T> rest_;               // what rounding it leaves out
  std::pmr::vector<std::byte> own_, all_;  // int8: what is handed back
  comm::Handle handle_;
};

// What the exchange of `count` elements sends.
Message ExchangeMessage(WireFormat format, int64_t count, int ranks);

}  // namespace orchard::sync
