#include "nn/random_tensor.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "base/hash.h"
#include "base/philox.h"

namespace orchard::nn {
namespace {

// Fills a tensor with element(block of the index); made in f64 and rounded once.
template <class Element>
at::Tensor Fill(std::string_view name, at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype,
                const Element& element) {
  const Philox2 key = PhiloxKey(seed, Hash64(name));
  const at::Tensor values = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  double* data = values.mutable_data_ptr<double>();
  at::parallel_for(0, values.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      data[i] = element(PhiloxAt(key, static_cast<uint64_t>(i)));
  });
  return values.to(dtype);
}

}  // namespace

at::Tensor RandomNormal(std::string_view name, at::IntArrayRef shape, double standard_deviation,
                        uint64_t seed, at::ScalarType dtype) {
  return Fill(name, shape, seed, dtype, [&](const Philox4& block) {
    return static_cast<double>(NoiseInteger(block)) * (kNoiseUnit * standard_deviation);
  });
}

at::Tensor RandomUniform(std::string_view name, at::IntArrayRef shape, double bound, uint64_t seed,
                         at::ScalarType dtype) {
  return Fill(name, shape, seed, dtype, [&](const Philox4& block) {
    return (2 * UniformDouble(block.word[0], block.word[1]) - 1) * bound;
  });
}

}  // namespace orchard::nn
