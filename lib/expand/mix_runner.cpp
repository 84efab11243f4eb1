#include "expand/mix_runner.h"

#include <algorithm>
#include <vector>

#include "expand/stored_type.h"

namespace orchard::expand {
namespace {

// T: stored type of the target.
template <class T>
class MixRunner : public BlockRunner {
 public:
  MixRunner(const OpSources& sources, const TensorOp& op) : op_(op), sources_(sources) {
    sources.CheckElements(op.mix_rows->source_size() * op.mix_columns->source_size() *
                          op.passengers);
  }

  // Stored rows: each a sum of stored source rows, mixed along the stored columns.
  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) override {
    const MixMap& outer = op_.transposed ? *op_.mix_columns : *op_.mix_rows;
    const MixMap& inner = op_.transposed ? *op_.mix_rows : *op_.mix_columns;
    const int64_t length = inner.source_size() * op_.passengers;
    std::vector<double> source(length), sum(length);
    T* row = reinterpret_cast<T*>(room.data());
    for (int64_t t = begin; t < end; ++t, row += inner.size() * op_.passengers) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t s = 0; s < sources_.count(); ++s) {
        for (const MixTerm& term : outer[t]) {
          sources_.Load(s, term.source * length, length, source.data());
          const double weight = op_.source_weights[s] * term.weight;
          for (int64_t i = 0; i < length; ++i) sum[i] += weight * source[i];
        }
      }
      for (int64_t c = 0; c < inner.size(); ++c) {
        for (int64_t p = 0; p < op_.passengers; ++p) {
          double value = 0;
          for (const MixTerm& term : inner[c])
            value += term.weight * sum[term.source * op_.passengers + p];
          row[c * op_.passengers + p] = Narrow<T>(static_cast<ComputeOf<T>>(value));
        }
      }
    }
    return room;
  }

 private:
  const TensorOp& op_;
  const OpSources& sources_;
};

}  // namespace

std::unique_ptr<BlockRunner> MakeMixRunner(const OpSources& sources, const TensorOp& op) {
  std::unique_ptr<BlockRunner> runner;
  DispatchStored(op.dtype, op.name, [&](auto tag) {
    runner = std::make_unique<MixRunner<decltype(tag)>>(sources, op);
  });
  return runner;
}

}  // namespace orchard::expand
