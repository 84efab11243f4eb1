#include "segment/instance_norm_kernel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/simd.h"
#include "segment/instance_norm_element.h"

namespace orchard::segment {
namespace {

constexpr int64_t kRows = 512;  // of a block

int64_t Blocks(int64_t rows) { return (rows + kRows - 1) / kRows; }

// Sums of x - shift and its square over `rows` rows.
template <class T>
ORCHARD_SIMD void SumRows(const T* x, int64_t rows, int64_t channels, const T* shift, T* sum,
                          T* squares) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* const row = x + r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const T d = row[c] - shift[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
}

template <class T>
ORCHARD_SIMD void Apply(const T* x, int64_t rows, int64_t channels, const T* scale, const T* offset,
                        T slope, T* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* const row = x + r * channels;
    T* const out = y + r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      out[c] = NormActivation(row[c], scale[c], offset[c], slope);
    }
  }
}

// Sums of the gradient before the activation, and of its product with the normalised x.
template <class T>
ORCHARD_SIMD void SumGradients(const T* x, const T* dy, int64_t rows, int64_t channels,
                               const T* mean, const T* rstd, const T* weight, const T* bias,
                               T slope, T* sum, T* product) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* const row = x + r * channels;
    const T* const gradient = dy + r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const T unit = NormUnit(row[c], mean[c], rstd[c]);
      const T d = ActivationGradient(unit, weight[c], bias[c], gradient[c], slope);
      sum[c] += d;
      product[c] += d * unit;
    }
  }
}

template <class T>
ORCHARD_SIMD void ApplyGradient(const T* x, const T* dy, int64_t rows, int64_t channels,
                                const T* mean, const T* rstd, const T* weight, const T* bias,
                                T slope, const T* mean_d, const T* mean_product, T* dx) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* const row = x + r * channels;
    const T* const gradient = dy + r * channels;
    T* const out = dx + r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const T unit = NormUnit(row[c], mean[c], rstd[c]);
      const T d = ActivationGradient(unit, weight[c], bias[c], gradient[c], slope);
      out[c] = NormGradient(unit, d, mean_d[c], mean_product[c], weight[c], rstd[c]);
    }
  }
}

// Two sums per image and channel, [batch, channels] each: block sums from `block(image, first row,
// rows, a, b)`, added in order.
template <class T, class Block>
void SumBlocks(int64_t batch, int64_t rows, int64_t channels, Block&& block,
               std::vector<double>& first, std::vector<double>& second) {
  const int64_t blocks = Blocks(rows);
  std::vector<T> sums(static_cast<size_t>(batch * blocks * 2 * channels), T(0));
  at::parallel_for(0, batch * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t from = n % blocks * kRows;
      T* const at = sums.data() + n * 2 * channels;
      block(n / blocks, from, std::min(kRows, rows - from), at, at + channels);
    }
  });
  first.assign(static_cast<size_t>(batch * channels), 0);
  second = first;
  for (int64_t n = 0; n < batch * blocks; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<size_t>(n / blocks * channels + c);
      first[at] += static_cast<double>(sums[static_cast<size_t>(n * 2 * channels + c)]);
      second[at] += static_cast<double>(sums[static_cast<size_t>((n * 2 + 1) * channels + c)]);
    }
  }
}

// Calls `work(image, first row, rows)` for every block.
template <class Work>
void ForBlocks(int64_t batch, int64_t rows, Work&& work) {
  const int64_t blocks = Blocks(rows);
  at::parallel_for(0, batch * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t from = n % blocks * kRows;
      work(n / blocks, from, std::min(kRows, rows - from));
    }
  });
}

}  // namespace

template <class T>
void InstanceNormForward(const InstanceNormArgs<T>& a) {
  const int64_t c_count = a.channels, image = a.rows * a.channels;
  std::vector<double> sum, squares;
  // The first voxel as origin keeps the difference of large numbers away from the variance.
  SumBlocks<T>(
      a.batch, a.rows, c_count,
      [&](int64_t n, int64_t from, int64_t rows, T* s, T* q) {
        SumRows<T>(a.x + n * image + from * c_count, rows, c_count, a.x + n * image, s, q);
      },
      sum, squares);
  std::vector<T> scale(sum.size()), offset(sum.size());
  const auto count = static_cast<double>(a.rows);
  for (int64_t n = 0; n < a.batch; ++n) {
    for (int64_t c = 0; c < c_count; ++c) {
      const auto at = static_cast<size_t>(n * c_count + c);
      const double shifted = sum[at] / count;
      const double variance = std::max(0.0, squares[at] / count - shifted * shifted);
      const double mean = shifted + static_cast<double>(a.x[n * image + c]);
      const double rstd = 1 / std::sqrt(variance + static_cast<double>(a.epsilon));
      a.mean[at] = static_cast<T>(mean);
      a.rstd[at] = static_cast<T>(rstd);
      const double weight = static_cast<double>(a.weight[c]);
      scale[at] = static_cast<T>(weight * rstd);
      offset[at] = static_cast<T>(static_cast<double>(a.bias[c]) - mean * weight * rstd);
    }
  }
  ForBlocks(a.batch, a.rows, [&](int64_t n, int64_t from, int64_t rows) {
    const int64_t at = n * image + from * c_count;
    Apply<T>(a.x + at, rows, c_count, scale.data() + n * c_count, offset.data() + n * c_count,
             a.slope, a.y + at);
  });
}

template <class T>
void InstanceNormBackward(const InstanceNormGradientArgs<T>& a) {
  const int64_t c_count = a.channels, image = a.rows * a.channels;
  std::vector<double> sum, product;
  SumBlocks<T>(
      a.batch, a.rows, c_count,
      [&](int64_t n, int64_t from, int64_t rows, T* s, T* p) {
        const int64_t at = n * image + from * c_count;
        SumGradients<T>(a.x + at, a.dy + at, rows, c_count, a.mean + n * c_count,
                        a.rstd + n * c_count, a.weight, a.bias, a.slope, s, p);
      },
      sum, product);
  std::vector<T> mean_d(sum.size()), mean_product(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) {
    mean_d[i] = static_cast<T>(sum[i] / static_cast<double>(a.rows));
    mean_product[i] = static_cast<T>(product[i] / static_cast<double>(a.rows));
  }
  for (int64_t c = 0; c < c_count; ++c) {
    double dweight = 0, dbias = 0;
    for (int64_t n = 0; n < a.batch; ++n) {
      dweight += product[static_cast<size_t>(n * c_count + c)];
      dbias += sum[static_cast<size_t>(n * c_count + c)];
    }
    a.dweight[c] = static_cast<T>(dweight);
    a.dbias[c] = static_cast<T>(dbias);
  }
  ForBlocks(a.batch, a.rows, [&](int64_t n, int64_t from, int64_t rows) {
    const int64_t at = n * image + from * c_count;
    ApplyGradient<T>(a.x + at, a.dy + at, rows, c_count, a.mean + n * c_count, a.rstd + n * c_count,
                     a.weight, a.bias, a.slope, mean_d.data() + n * c_count,
                     mean_product.data() + n * c_count, a.dx + at);
  });
}

template void InstanceNormForward(const InstanceNormArgs<float>&);
template void InstanceNormForward(const InstanceNormArgs<double>&);
template void InstanceNormBackward(const InstanceNormGradientArgs<float>&);
template void InstanceNormBackward(const InstanceNormGradientArgs<double>&);

}  // namespace orchard::segment
