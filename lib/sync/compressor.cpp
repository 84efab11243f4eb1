#include "sync/compressor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/philox.h"
#include "sync/pieces.h"
#include "sync/top_k.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

// Nothing, everything, blocks of the arena, or single elements of it.
template <class T>
class CommonSupportCompressor : public Compressor<T> {
 public:
  CommonSupportCompressor() = default;  // sends nothing
  CommonSupportCompressor(const ArenaLayout& layout, const SelectorOptions& options, uint64_t seed,
                          std::string_view stream)
      : selector_(std::in_place, layout, options, seed, stream) {}

  std::optional<Selection> CommonSupport(int64_t draw) const override {
    return selector_ ? selector_->At(draw) : Selection{};
  }

  void Exchange(int64_t draw, std::span<T> residual, T scale, std::span<T> target,
                comm::Communicator& ranks) override {
    const Selection selection = *CommonSupport(draw);
    if (selection.count == 0) return;
    wire_.resize(static_cast<size_t>(selection.count));
    const std::span<T> wire(wire_);
    const std::vector<Piece> pieces = PiecesOf(selection, 0);
    MoveArgs<T> move{pieces.data(), std::ssize(pieces), wire.data(), residual.data()};
    Take(move);
    ranks.AllReduce(wire);
    move.values = target.data();
    move.scale = scale / static_cast<T>(ranks.size());
    ScatterAdd(move);
  }

  Message MessageOf(int64_t draw) const override { return {CommonSupport(draw)->count, 0}; }

 private:
  std::optional<BlockSelector> selector_;
  std::vector<T> wire_;
};

template <class T>
class TopKCompressor : public Compressor<T> {
 public:
  TopKCompressor(const ArenaLayout& layout, double ratio, const Device& device)
      : top_(layout, ratio, device), mean_(layout.size()) {}

  void Exchange(int64_t, std::span<T> residual, T scale, std::span<T> target,
                comm::Communicator& ranks) override {
    top_.Select<T>(residual, places_);
    values_.clear();
    for (const int32_t place : places_) values_.push_back(std::exchange(residual[place], T{}));
    mean_.Add(places_, values_, scale, target, ranks);
  }

  Message MessageOf(int64_t) const override {
    return {0, SparseMean<T>::MessageBytes(top_.count())};
  }

 private:
  TopK top_;
  SparseMean<T> mean_;
  std::vector<int32_t> places_;
  std::vector<T> values_;
};

// One code per element and some scales: what all ranks send is gathered and decoded in rank order.
template <class T>
class CodedCompressor : public Compressor<T> {
 public:
  void Exchange(int64_t draw, std::span<T> residual, T scale, std::span<T> target,
                comm::Communicator& ranks) override {
    const auto bytes = static_cast<size_t>(MessageBytes());
    own_.resize(bytes);
    all_.resize(bytes * static_cast<size_t>(ranks.size()));
    Encode(draw, ranks.rank(), residual, own_);
    Decode(own_, T{-1}, residual);
    const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), std::ssize(own_));
    ranks.AllGather(std::span<const std::byte>(own_), std::span<std::byte>(all_), counts);
    sum_.assign(target.size(), T{});
    for (int r = 0; r < ranks.size(); ++r) {
      Decode(std::span(all_).subspan(static_cast<size_t>(r) * bytes, bytes), T{1}, sum_);
    }
    Axpy<T>(scale / static_cast<T>(ranks.size()), sum_.data(), target.data(), std::ssize(target));
  }

  Message MessageOf(int64_t) const override { return {0, MessageBytes()}; }

 protected:
  virtual int64_t MessageBytes() const = 0;
  virtual void Encode(int64_t draw, int rank, std::span<const T> values,
                      std::span<std::byte> message) const = 0;
  // values += factor * what `message` stands for
  virtual void Decode(std::span<const std::byte> message, T factor, std::span<T> values) const = 0;

 private:
  std::vector<std::byte> own_, all_;
  std::vector<T> sum_;
};

// C(v) = mean |v| sign(v) per tensor: one bit per element of the arena, and a scale per tensor.
template <class T>
class SignCompressor : public CodedCompressor<T> {
 public:
  explicit SignCompressor(const ArenaLayout& layout) : layout_(layout) {}

 protected:
  int64_t MessageBytes() const override {
    return layout_.size() / 8 + std::ssize(layout_.slots()) * static_cast<int64_t>(sizeof(T));
  }

  void Encode(int64_t, int, std::span<const T> values,
              std::span<std::byte> message) const override {
    const std::span<std::byte> bits = message.first(static_cast<size_t>(layout_.size() / 8));
    std::fill(bits.begin(), bits.end(), std::byte{0});
    std::byte* scale_at = message.data() + bits.size();
    for (const Slot& slot : layout_.slots()) {
      double sum = 0;
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        sum += std::abs(static_cast<double>(values[i]));
        if (values[i] < 0) bits[i / 8] |= std::byte{1} << (i % 8);
      }
      const T scale = static_cast<T>(sum / static_cast<double>(slot.count));
      std::memcpy(scale_at, &scale, sizeof scale);
      scale_at += sizeof scale;
    }
  }

  void Decode(std::span<const std::byte> message, T factor, std::span<T> values) const override {
    const std::byte* scale_at = message.data() + layout_.size() / 8;
    for (const Slot& slot : layout_.slots()) {
      T scale;
      std::memcpy(&scale, scale_at, sizeof scale);
      scale_at += sizeof scale;
      const T plus = factor * scale;
      for (int64_t i = slot.offset; i < slot.offset + slot.count; ++i) {
        const bool negative = (message[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0};
        values[i] += negative ? -plus : plus;
      }
    }
  }

 private:
  const ArenaLayout& layout_;
};

// Blocks of 1024 elements, scaled by their largest magnitude to [-127, 127] and rounded at random,
// so that the expected value is exact.
template <class T>
class Int8Compressor : public CodedCompressor<T> {
 public:
  Int8Compressor(const ArenaLayout& layout, uint64_t seed, std::string_view stream)
      : size_(layout.size()), seed_(seed), purpose_(Hash64(std::string(stream) + ".int8")) {}

 protected:
  static constexpr int64_t kBlock = 1024;
  static constexpr T kLevels = 127;
  int64_t blocks() const { return (size_ + kBlock - 1) / kBlock; }

  int64_t MessageBytes() const override {
    return size_ + blocks() * static_cast<int64_t>(sizeof(T));
  }

  void Encode(int64_t draw, int rank, std::span<const T> values,
              std::span<std::byte> message) const override {
    const Philox2 key = PhiloxKey(seed_ + static_cast<uint64_t>(rank), purpose_);
    for (int64_t b = 0; b < blocks(); ++b) {
      const int64_t begin = b * kBlock, end = std::min(begin + kBlock, size_);
      T largest = 0;
      for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(values[i]));
      const T unit = largest / kLevels;
      std::memcpy(message.data() + size_ + b * sizeof unit, &unit, sizeof unit);
      const T inverse = largest > 0 ? kLevels / largest : T{0};
      Philox4 random{};
      for (int64_t i = begin; i < end; ++i) {
        if (i % 4 == 0) random = PhiloxAt(key, static_cast<uint64_t>(i / 4), draw);
        const T code = std::floor(values[i] * inverse + UniformFloat(random.word[i % 4]));
        message[i] =
            static_cast<std::byte>(static_cast<int8_t>(std::clamp(code, -kLevels, kLevels)));
      }
    }
  }

  void Decode(std::span<const std::byte> message, T factor, std::span<T> values) const override {
    for (int64_t b = 0; b < blocks(); ++b) {
      T unit;
      std::memcpy(&unit, message.data() + size_ + b * sizeof unit, sizeof unit);
      const T scale = factor * unit;
      for (int64_t i = b * kBlock; i < std::min((b + 1) * kBlock, size_); ++i) {
        values[i] += scale * static_cast<T>(static_cast<int8_t>(message[i]));
      }
    }
  }

 private:
  int64_t size_;
  uint64_t seed_, purpose_;
};

}  // namespace

template <class T>
std::unique_ptr<Compressor<T>> MakeCompressor(CompressorKind kind, const ArenaLayout& layout,
                                              const SelectorOptions& options, uint64_t seed,
                                              std::string_view stream, const Device& device) {
  using Common = CommonSupportCompressor<T>;
  switch (kind) {
    case CompressorKind::kNone:
      return std::make_unique<Common>();
    case CompressorKind::kIdentity:
      return std::make_unique<Common>(layout, SelectorOptions{.ratio = 1}, seed, stream);
    case CompressorKind::kRandomK: {
      const SelectorOptions single = {
          .ratio = options.ratio, .block = 1, .order = BlockOrder::kUniform};
      return std::make_unique<Common>(layout, single, seed, stream);
    }
    case CompressorKind::kGrbs:
      return std::make_unique<Common>(layout, options, seed, stream);
    case CompressorKind::kTopK:
      return std::make_unique<TopKCompressor<T>>(layout, options.ratio, device);
    case CompressorKind::kSign:
      return std::make_unique<SignCompressor<T>>(layout);
    case CompressorKind::kInt8:
      return std::make_unique<Int8Compressor<T>>(layout, seed, stream);
  }
  return nullptr;
}

template std::unique_ptr<Compressor<float>> MakeCompressor(CompressorKind, const ArenaLayout&,
                                                           const SelectorOptions&, uint64_t,
                                                           std::string_view, const Device&);
template std::unique_ptr<Compressor<double>> MakeCompressor(CompressorKind, const ArenaLayout&,
                                                            const SelectorOptions&, uint64_t,
                                                            std::string_view, const Device&);

}  // namespace orchard::sync
