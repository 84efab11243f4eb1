#include "expand/vector_runner.h"

#include <vector>

#include "expand/stored_type.h"

namespace orchard::expand {
namespace {

// T: stored type of the target.
template <class T>
class VectorRunner : public BlockRunner {
 public:
  VectorRunner(const OpSources& sources, const TensorOp& op, Philox2 key)
      : op_(op), sources_(sources), key_(key), length_(op.rows->source_size() / sources.divisor()) {
    sources.CheckElements(length_);
  }

  // Vectors are small: each call reads the whole source.
  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    std::vector<double> source(length_ * sources_.divisor());
    for (int64_t s = 0; s < sources_.count(); ++s) {
      sources_.Load(s, 0, length_, source.data() + s * length_);
    }
    const double mean = Mean(std::span(source).first(length_));
    T* out = reinterpret_cast<T*>(room.data());
    for (int64_t t = begin; t < end; ++t, ++out) {
      const int64_t u = (*op_.rows)[t];
      const double x = u == kPad ? Padding(t, mean) : op_.scale * source[u] + op_.offset;
      *out = Narrow<T>(static_cast<ComputeOf<T>>(x));
      NoteRounding(x, static_cast<double>(Widen(*out)));
    }
    return room;
  }

 private:
  double Mean(std::span<const double> source) const {
    if (op_.vector_pad != VectorPad::kMean || source.empty()) return 0;
    const std::vector<double> weights = sources_.MeanWeights(static_cast<int64_t>(source.size()));
    double sum = 0;
    for (size_t i = 0; i < source.size(); ++i) sum += weights[i] * source[i];
    return op_.scale * sum / static_cast<double>(source.size()) + op_.offset;
  }

  double Padding(int64_t t, double mean) const {
    switch (op_.vector_pad) {
      case VectorPad::kMean:
        return mean;
      case VectorPad::kOne:
        return 1;
      case VectorPad::kUniform: {
        const uint32_t word = PhiloxAt(key_, static_cast<uint64_t>(t)).word[0];
        return (static_cast<double>(word) + 0.5 - 2147483648.0) / 2147483648.0 * op_.pad_scale +
               op_.pad_offset;
      }
      default:
        return 0;
    }
  }

  const TensorOp& op_;
  const OpSources& sources_;
  Philox2 key_;
  int64_t length_;  // of one source
};

}  // namespace

std::unique_ptr<BlockRunner> MakeVectorRunner(const OpSources& sources, const TensorOp& op,
                                              Philox2 key) {
  std::unique_ptr<BlockRunner> runner;
  DispatchStored(op.dtype, op.name, [&](auto tag) {
    runner = std::make_unique<VectorRunner<decltype(tag)>>(sources, op, key);
  });
  return runner;
}

}  // namespace orchard::expand
