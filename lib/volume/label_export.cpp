#include "volume/label_export.h"

#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/simd.h"
#include "volume/export_element.h"

namespace orchard::volume {
namespace {

constexpr uint16_t kNone = 0xFFFF;  // no leader
constexpr int64_t kBlock = 2048;    // voxels whose leaders are found at a time
constexpr int kVector = 8;          // classes compared at a time

// Leaders of `count` <= kBlock voxels. A leader is certain when it is ahead by more than sixteen
// roundings of the larger of the two: interpolation makes seven means of three roundings each, but
// a corner's share in them shrinks with its weight, as does its lead.
ORCHARD_SIMD void FindBlock(const float* logits, int64_t stride, int64_t classes, int64_t count,
                            uint16_t* leader) {
  alignas(64) float best[kBlock], second[kBlock];
  alignas(64) int32_t arg[kBlock];
#pragma omp simd
  for (int64_t v = 0; v < count; ++v) {
    best[v] = second[v] = -INFINITY;
    arg[v] = kNone;
  }
  for (int64_t c = 0; c < classes; ++c) {
    const float* const values = logits + c * stride;
    const auto number = static_cast<int32_t>(c);
#pragma omp simd
    for (int64_t v = 0; v < count; ++v) {
      const float value = values[v], old = best[v];
      const bool ahead = value > old;
      const float behind = ahead ? old : value;
      second[v] = behind > second[v] ? behind : second[v];
      arg[v] = ahead ? number : arg[v];
      best[v] = ahead ? value : old;
    }
  }
#pragma omp simd
  for (int64_t v = 0; v < count; ++v) {
    const float size = std::fabs(best[v]) + std::fabs(second[v]);
    const bool certain = best[v] - second[v] > 16 * FLT_EPSILON * size;
    leader[v] = static_cast<uint16_t>(certain ? arg[v] : static_cast<int32_t>(kNone));
  }
}

// cells[i]: the one leader of the eight corners of cell i, else kNone.
ORCHARD_SIMD void FindCells(const uint16_t* low0, const uint16_t* low1, const uint16_t* high0,
                            const uint16_t* high1, int64_t cells, int64_t right, uint16_t* found) {
#pragma omp simd
  for (int64_t i = 0; i < cells; ++i) {
    const uint16_t a = low0[i];
    const int differ = (a ^ low0[i + right]) | (a ^ low1[i]) | (a ^ low1[i + right]) |
                       (a ^ high0[i]) | (a ^ high0[i + right]) | (a ^ high1[i]) |
                       (a ^ high1[i + right]);
    found[i] = static_cast<uint16_t>(differ == 0 ? a : kNone);
  }
}

// Interpolates `count` voxels of one class along k and j; they are `padded` floats apart in `out`.
ORCHARD_SIMD void InterpolateRow(const float* low0, const float* low1, const float* high0,
                                 const float* high1, float wk, float wj, int64_t count,
                                 int64_t padded, float* out) {
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    float values[kVector];
#pragma omp simd
    for (int l = 0; l < kVector; ++l)
      values[l] = Between(Between(low0[i + l], high0[i + l], wk),
                          Between(low1[i + l], high1[i + l], wk), wj);
    for (int l = 0; l < kVector; ++l) out[(i + l) * padded] = values[l];
  }
  for (; i < count; ++i)
    out[i * padded] = Between(Between(low0[i], high0[i], wk), Between(low1[i], high1[i], wk), wj);
}

// The leading class between two voxels, each with `padded` classes.
ORCHARD_SIMD int32_t LeaderBetween(const float* left, const float* right, float weight,
                                   int64_t padded) {
  float best[kVector];
  int32_t arg[kVector];
  for (int l = 0; l < kVector; ++l) {
    best[l] = -INFINITY;
    arg[l] = kNone;
  }
  for (int64_t c = 0; c < padded; c += kVector) {
    const auto first = static_cast<int32_t>(c);
#pragma omp simd
    for (int l = 0; l < kVector; ++l) {
      const float value = Between(left[c + l], right[c + l], weight);
      const bool ahead = value > best[l];
      arg[l] = ahead ? first + l : arg[l];
      best[l] = ahead ? value : best[l];
    }
  }
  float value = best[0];
  int32_t leader = arg[0];
  for (int l = 1; l < kVector; ++l) {
    if (best[l] > value || (best[l] == value && arg[l] < leader)) {
      value = best[l];
      leader = arg[l];
    }
  }
  return leader;
}

}  // namespace

template <class L>
LabelExporter<L>::LabelExporter(const LabelExportArgs& args, L* labels, ThreadPool& pool)
    : args_(args), labels_(labels), pool_(pool) {
  const int64_t most = sizeof(L) == 1 ? 256 : 65534;
  if (args_.classes < 1 || args_.classes > most) {
    throw UsageError("cannot export " + std::to_string(args_.classes) + " classes", args_.name,
                     "1 to " + std::to_string(most) + " fit the label map");
  }
  for (size_t a = 0; a < 3; ++a) {
    const LinearAxis& axis = args_.axes[a];
    if (axis.outputs() < 1 || args_.at[a] < 0 || args_.at[a] + axis.outputs() > args_.size[a])
      throw UsageError("the region does not lie in the label map", args_.name);
    if (!std::is_sorted(axis.low.begin(), axis.low.end()) || axis.low.front() < 0 ||
        axis.low.back() > std::max<int64_t>(0, axis.inputs - 2))
      throw UsageError("an axis runs backwards or past its inputs", args_.name);
  }
  padded_ = (args_.classes + kVector - 1) / kVector * kVector;
  const int64_t cells = std::max<int64_t>(1, args_.axes[0].inputs - 1);
  first_out_.resize(static_cast<size_t>(cells + 1));
  const std::vector<int32_t>& low = args_.axes[0].low;
  for (int64_t x = 0; x <= cells; ++x)
    first_out_[static_cast<size_t>(x)] = std::lower_bound(low.begin(), low.end(), x) - low.begin();
}

template <class L>
double LabelExporter<L>::InterpolatedShare() const {
  return written_ == 0 ? 0 : static_cast<double>(interpolated_) / static_cast<double>(written_);
}

template <class L>
void LabelExporter<L>::FindLeaders(Plane& plane) {
  const int64_t voxels = args_.axes[0].inputs * args_.axes[1].inputs;
  plane.leader.assign(static_cast<size_t>(voxels), kNone);
  if (!args_.shortcut) return;
  pool_.ForEach((voxels + kBlock - 1) / kBlock, [&](int64_t block) {
    const int64_t first = block * kBlock;
    FindBlock(plane.logits + first, plane.stride, args_.classes, std::min(kBlock, voxels - first),
              plane.leader.data() + first);
  });
}

template <class L>
void LabelExporter<L>::Feed(int64_t first, int64_t count, const float* logits,
                            int64_t channel_stride) {
  const int64_t planes = args_.axes[2].inputs;
  const int64_t plane_voxels = args_.axes[0].inputs * args_.axes[1].inputs;
  if (first != next_plane_ || count < 1 || first + count > planes)
    throw UsageError("planes come in order, each once", args_.name);
  next_plane_ += count;
  for (int64_t k = first; k < first + count; ++k) {
    Plane plane{.logits = logits + (k - first) * plane_voxels, .stride = channel_stride};
    FindLeaders(plane);
    if (planes == 1) WriteCells(0, plane, plane);
    if (k > 0) WriteCells(k - 1, last_, plane);
    last_ = std::move(plane);
  }
  if (next_plane_ == planes) return;
  kept_.resize(static_cast<size_t>(args_.classes * plane_voxels));
  for (int64_t c = 0; c < args_.classes; ++c)
    std::memcpy(kept_.data() + c * plane_voxels, last_.logits + c * last_.stride,
                static_cast<size_t>(plane_voxels) * sizeof(float));
  last_.logits = kept_.data();
  last_.stride = plane_voxels;
}

// Writes the output planes between planes `cell` and `cell` + 1 of the logits.
template <class L>
void LabelExporter<L>::WriteCells(int64_t cell, const Plane& low, const Plane& high) {
  const LinearAxis &ai = args_.axes[0], &aj = args_.axes[1], &ak = args_.axes[2];
  const int64_t from = next_out_;
  while (next_out_ < ak.outputs() && ak.low[static_cast<size_t>(next_out_)] == cell) ++next_out_;
  if (next_out_ == from) return;

  const int64_t ni = ai.inputs, right = ni > 1 ? 1 : 0, up = aj.inputs > 1 ? ni : 0;
  const int64_t cells_i = std::max<int64_t>(1, ni - 1),
                cells_j = std::max<int64_t>(1, aj.inputs - 1);
  std::vector<uint16_t> cells(static_cast<size_t>(cells_i * cells_j));
  for (int64_t j = 0; j < cells_j; ++j) {
    const uint16_t *l = low.leader.data() + j * ni, *h = high.leader.data() + j * ni;
    FindCells(l, l + up, h, h + up, cells_i, right, cells.data() + j * cells_i);
  }

  constexpr int64_t kRows = 8;  // written by one task
  const int64_t rows = (next_out_ - from) * aj.outputs();
  std::atomic<int64_t> interpolated{0};
  pool_.ForEach((rows + kRows - 1) / kRows, [&](int64_t task) {
    std::vector<float> room(static_cast<size_t>(ni * padded_), NAN);
    int64_t count = 0;
    for (int64_t row = task * kRows; row < std::min(rows, (task + 1) * kRows); ++row) {
      const int64_t out_j = row % aj.outputs();
      WriteRow(low, high, cells.data() + aj.low[static_cast<size_t>(out_j)] * cells_i,
               from + row / aj.outputs(), out_j, room.data(), count);
    }
    interpolated += count;
  });
  interpolated_ += interpolated;
  written_ += rows * ai.outputs();
}

// Writes one row of outputs; `cells` are those of its row of the logits.
template <class L>
void LabelExporter<L>::WriteRow(const Plane& low, const Plane& high, const uint16_t* cells,
                                int64_t out_k, int64_t out_j, float* room,
                                int64_t& interpolated) const {
  const LinearAxis &ai = args_.axes[0], &aj = args_.axes[1], &ak = args_.axes[2];
  const int64_t ni = ai.inputs, up = aj.inputs > 1 ? ni : 0, right = ni > 1 ? padded_ : 0;
  const int64_t first = aj.low[static_cast<size_t>(out_j)] * ni;
  const float wj = aj.weight[static_cast<size_t>(out_j)],
              wk = ak.weight[static_cast<size_t>(out_k)];
  L* const out =
      labels_ + IndexOf(args_.size, args_.at[0], args_.at[1] + out_j, args_.at[2] + out_k);
  const int64_t cells_i = std::max<int64_t>(1, ni - 1);
  for (int64_t a = 0, b = 0; a < cells_i; a = b) {
    while (b < cells_i && cells[b] == cells[a]) ++b;
    const int64_t o_first = first_out_[static_cast<size_t>(a)],
                  o_last = first_out_[static_cast<size_t>(b)];
    if (cells[a] != kNone) {
      std::fill(out + o_first, out + o_last, static_cast<L>(cells[a]));
      continue;
    }
    if (o_first == o_last) continue;
    const int64_t inputs = std::min(b + 1, ni) - a, at = first + a;
    for (int64_t c = 0; c < args_.classes; ++c) {
      const float *l = low.logits + c * low.stride + at, *h = high.logits + c * high.stride + at;
      InterpolateRow(l, l + up, h, h + up, wk, wj, inputs, padded_, room + c);
    }
    for (int64_t o = o_first; o < o_last; ++o) {
      const float* const left = room + (ai.low[static_cast<size_t>(o)] - a) * padded_;
      const int32_t leader =
          LeaderBetween(left, left + right, ai.weight[static_cast<size_t>(o)], padded_);
      out[o] = static_cast<L>(leader == kNone ? 0 : leader);
    }
    interpolated += o_last - o_first;
  }
}

template class LabelExporter<uint8_t>;
template class LabelExporter<uint16_t>;

}  // namespace orchard::volume
