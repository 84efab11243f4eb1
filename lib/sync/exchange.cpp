#include "sync/exchange.h"

#include <algorithm>
#include <numeric>

#include "base/hash.h"
#include "base/philox.h"
#include "sync/update_kernels.h"
#include "sync/wire_codec.h"

namespace orchard::sync {
namespace {

using comm::ChunkOf;
using comm::Range;

int64_t BlocksOf(int64_t count, int ranks) {
  int64_t blocks = 0;
  for (int r = 0; r < ranks; ++r) blocks += WireBlocks(ChunkOf(count, ranks, r).size());
  return blocks;
}

// Calls f(elements of the message, its first block) for the chunk of every rank, in order.
template <class F>
void ForEachChunk(int64_t count, int ranks, F&& f) {
  int64_t block = 0;
  for (int r = 0; r < ranks; ++r) {
    const Range chunk = ChunkOf(count, ranks, r);
    f(chunk, block);
    block += WireBlocks(chunk.size());
  }
}

Philox2 KeyOf(uint64_t seed, int rank, const char* purpose) {
  return PhiloxKey(seed + static_cast<uint64_t>(rank), Hash64(purpose));
}

}  // namespace

template <class T>
template <class Half>
void Exchange<T>::StartHalf(std::pmr::vector<Half>& codes) {
  codes.resize(values_.size());
  residual_.assign(values_.begin(), values_.end());
  EncodeHalf<T, Half>(*device_, {std::ssize(residual_), residual_.data(), codes.data()});
  device_->Wait();
  sum_.resize(
      static_cast<size_t>(ChunkOf(std::ssize(codes), ranks_->size(), ranks_->rank()).size()));
  const comm::ConstBuffer in{std::span<const Half>(codes)};
  const std::span<float> out(sum_);
  if (setting_.async) {
    handle_ = ranks_->ReduceScatterAsync(in, out);
  } else {
    ranks_->ReduceScatter(in, out);
  }
}

template <class T>
template <class Half>
void Exchange<T>::ContinueHalf(std::pmr::vector<Half>& codes) {
  const Range own = ChunkOf(std::ssize(codes), ranks_->size(), ranks_->rank());
  rest_.assign(sum_.begin(), sum_.end());
  EncodeHalf<T, Half>(*device_, {own.size(), rest_.data(), codes.data() + own.begin});
  device_->Wait();
  Axpy<T>(1, rest_.data(), residual_.data() + own.begin, own.size());
  const std::span<Half> all(codes);
  const auto mine = all.subspan(static_cast<size_t>(own.begin), static_cast<size_t>(own.size()));
  if (setting_.async) {
    handle_ = ranks_->AllGatherAsync(mine, all);
  } else {
    ranks_->AllGather(mine, all);
  }
}

template <class T>
void Exchange<T>::StartInt8() {
  const int64_t count = std::ssize(values_);
  const int n = ranks_->size();
  residual_.assign(values_.begin(), values_.end());
  int8_.resize(values_.size());
  units_.resize(static_cast<size_t>(BlocksOf(count, n)));
  const auto chunk_args = [&](Range chunk, int64_t block) {
    Int8Args<T> args;
    args.count = chunk.size();
    args.values = residual_.data() + chunk.begin;
    args.exponents = units_.data() + block;
    args.codes = int8_.data() + chunk.begin;
    args.key = KeyOf(setting_.seed, ranks_->rank(), "wire");
    args.first = static_cast<uint64_t>(chunk.begin);
    args.stream = stream_;
    return args;
  };
  ForEachChunk(count, n, [&](Range chunk, int64_t block) {
    FindExponents(*device_, chunk_args(chunk, block));
  });
  device_->Wait();
  // All ranks use the largest unit of a block: then codes can be added.
  std::vector<int8_t> units(units_.size() * static_cast<size_t>(n));
  const std::vector<int64_t> counts(static_cast<size_t>(n), std::ssize(units_));
  ranks_->AllGather(std::as_bytes(std::span(units_)), std::as_writable_bytes(std::span(units)),
                    counts);
  for (size_t i = 0; i < units.size(); ++i) {
    int8_t& unit = units_[i % units_.size()];
    unit = std::max(unit, units[i]);
  }
  ForEachChunk(count, n,
               [&](Range chunk, int64_t block) { EncodeInt8(*device_, chunk_args(chunk, block)); });
  device_->Wait();
  sum_.resize(static_cast<size_t>(ChunkOf(count, n, ranks_->rank()).size()));
  const comm::ConstBuffer in{std::span<const int8_t>(int8_)};
  const std::span<float> out(sum_);
  if (setting_.async) {
    handle_ = ranks_->ReduceScatterAsync(in, out);
  } else {
    ranks_->ReduceScatter(in, out);
  }
}

template <class T>
void Exchange<T>::ContinueInt8() {
  const int64_t count = std::ssize(values_);
  const int n = ranks_->size(), rank = ranks_->rank();
  const Range own = ChunkOf(count, n, rank);
  int64_t first_block = 0;
  std::vector<int64_t> counts;
  for (int r = 0; r < n; ++r) {
    const int64_t size = ChunkOf(count, n, r).size();
    if (r < rank) first_block += WireBlocks(size);
    counts.push_back(WireBlocks(size) + size);
  }
  // [exponents | codes] of the own chunk's sum.
  own_.resize(static_cast<size_t>(counts[rank]));
  rest_.resize(sum_.size());
  for (size_t i = 0; i < sum_.size(); ++i) {
    const int8_t unit = units_[first_block + static_cast<int64_t>(i) / kWireBlock];
    rest_[i] = static_cast<T>(sum_[i]) * static_cast<T>(WireUnit(unit));
  }
  Int8Args<T> args;
  args.count = own.size();
  args.values = rest_.data();
  args.exponents = reinterpret_cast<int8_t*>(own_.data());
  args.codes = args.exponents + WireBlocks(own.size());
  args.key = KeyOf(setting_.seed, rank, "wire.sum");
  args.first = static_cast<uint64_t>(own.begin);
  args.stream = stream_;
  FindExponents(*device_, args);
  EncodeInt8(*device_, args);
  device_->Wait();
  Axpy<T>(1, rest_.data(), residual_.data() + own.begin, own.size());
  all_.resize(static_cast<size_t>(std::accumulate(counts.begin(), counts.end(), int64_t{0})));
  const std::span<const std::byte> mine(own_);
  const std::span<std::byte> all(all_);
  if (setting_.async) {
    handle_ = ranks_->AllGatherAsync(mine, all, counts);
  } else {
    ranks_->AllGather(mine, all, counts);
  }
}

template <class T>
void Exchange<T>::FinishInt8() {
  auto* at = reinterpret_cast<int8_t*>(all_.data());
  ForEachChunk(std::ssize(values_), ranks_->size(), [&](Range chunk, int64_t) {
    Int8Args<T> args;
    args.count = chunk.size();
    args.values = values_.data() + chunk.begin;
    args.exponents = at;
    args.codes = at + WireBlocks(chunk.size());
    DecodeInt8(*device_, args);
    at = args.codes + chunk.size();
  });
  device_->Wait();
}

template <class T>
void Exchange<T>::Start(std::span<T> values, comm::Communicator& ranks, const WireSetting& setting,
                        uint64_t stream) {
  values_ = values;
  ranks_ = &ranks;
  setting_ = setting;
  stream_ = stream;
  switch (setting.format) {
    case WireFormat::kFull:
      if (setting.async) {
        handle_ = ranks.AllReduceAsync(values);
      } else {
        ranks.AllReduce(values);
      }
      return;
    case WireFormat::kBf16:
      return StartHalf(bf16_);
    case WireFormat::kFp16:
      return StartHalf(fp16_);
    case WireFormat::kInt8:
      return StartInt8();
  }
}

template <class T>
void Exchange<T>::Continue() {
  if (setting_.format == WireFormat::kFull) return;
  handle_.Wait();
  if (setting_.format == WireFormat::kBf16) {
    ContinueHalf(bf16_);
  } else if (setting_.format == WireFormat::kFp16) {
    ContinueHalf(fp16_);
  } else {
    ContinueInt8();
  }
}

template <class T>
void Exchange<T>::Finish() {
  handle_.Wait();
  const auto widen = [&](const auto& codes) {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<T>(Widen(codes[i]));
  };
  if (setting_.format == WireFormat::kBf16) widen(bf16_);
  if (setting_.format == WireFormat::kFp16) widen(fp16_);
  if (setting_.format == WireFormat::kInt8) FinishInt8();
}

template class Exchange<float>;
template class Exchange<double>;

Message ExchangeMessage(WireFormat format, int64_t count, int ranks) {
  if (count == 0) return {};
  switch (format) {
    case WireFormat::kFull:
      return {.reduced = count};
    case WireFormat::kBf16:
    case WireFormat::kFp16:
      return {.shared = 2 * 2 * count};
    case WireFormat::kInt8: {
      const int64_t blocks = BlocksOf(count, ranks);
      return {.gathered = blocks, .shared = 2 * count + blocks};
    }
  }
  return {};
}

}  // namespace orchard::sync
