#include "expand/lesa_kind.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "data/sampler.h"
#include "io/safetensors.h"
#include "nn/optimizer.h"
#include "nn/random_tensor.h"

namespace orchard::expand {
namespace {

// Source: sec. 4 of the paper.
constexpr int64_t kHidden = 256, kBatch = 64;
constexpr double kLearningRate = 1e-3, kWeightDecay = 0.01, kNormShare = 5e-4;
// Singular values come from eigenvalues of W W^T in f64: below this part of the largest they are
// rounding.
constexpr double kSmallest = 1e-6;

std::string LayerName(int64_t layer) { return "layer." + std::to_string(layer); }

// ReLU network of three layers, with LibTorch's usual initial values: Unif(-1, 1) / sqrt(inputs).
class Network {
 public:
  Network(const std::string& kind, int64_t inputs, int64_t outputs, uint64_t seed) {
    const int64_t sizes[] = {inputs, kHidden, kHidden, outputs};
    for (int i = 0; i < 3; ++i) {
      const double bound = 1 / std::sqrt(static_cast<double>(sizes[i]));
      const std::string name = "lesa " + kind + " " + std::to_string(i);
      weights_.push_back(
          nn::RandomUniform(name + " weight", {sizes[i + 1], sizes[i]}, bound, seed, at::kFloat)
              .set_requires_grad(true));
      biases_.push_back(nn::RandomUniform(name + " bias", {sizes[i + 1]}, bound, seed, at::kFloat)
                            .set_requires_grad(true));
    }
  }

  at::Tensor Forward(const at::Tensor& x) const {
    at::Tensor y = x;
    for (int i = 0; i < 3; ++i) {
      y = at::linear(y, weights_[i], biases_[i]);
      if (i < 2) y = at::relu(y);
    }
    return y;
  }

  std::vector<nn::OptimizedTensor> Tensors() const {
    std::vector<nn::OptimizedTensor> tensors;
    for (int i = 0; i < 3; ++i) {
      tensors.push_back({"weight." + std::to_string(i), weights_[i]});
      tensors.push_back({"bias." + std::to_string(i), biases_[i]});
    }
    return tensors;
  }

 private:
  std::vector<at::Tensor> weights_, biases_;
};

at::Tensor Loss(const at::Tensor& output, const at::Tensor& target) {
  const at::Tensor square = (output - target).square().mean();
  const at::Tensor norms = (output.norm() - target.norm()).square();
  return (1 - kNormShare) * square + kNormShare * norms;
}

double Number(const at::Tensor& t) { return t.item().toDouble(); }

}  // namespace

int64_t LesaBytes(int64_t rows, int64_t columns) {
  // W W^T, its eigenvectors and their workspace in f64; a layer and two products of its size; the
  // network with gradients and both moments.
  return 32 * rows * rows + 24 * rows * columns +
         16 * (kHidden * (3 * columns + kHidden + 2) + columns);
}

struct LesaKindModel::State {
  std::string name;
  int64_t layers = 0, columns = 0, directions = 0;
  at::Tensor scaled_directions;  // U S, [rows, directions], f64
  double scale = 1;              // stored V_i are this many times V_i: a mean square of about 1
  std::unique_ptr<io::Checkpoint> file;
  std::unique_ptr<Network> network;

  const float* Coordinates(int64_t layer) const {
    const io::TensorInfo& info = file->Get(LayerName(layer));
    return reinterpret_cast<const float*>(file->Bytes(info).data());
  }

  // Rows `direction` of layers before and after, side by side.
  void CopyPair(int64_t before, int64_t after, int64_t direction, float* to) const {
    const auto bytes = static_cast<size_t>(columns) * sizeof(float);
    std::memcpy(to, Coordinates(before) + direction * columns, bytes);
    std::memcpy(to + columns, Coordinates(after) + direction * columns, bytes);
  }
};

LesaKindModel::LesaKindModel(std::string name, int64_t layers, Layer layer,
                             const std::filesystem::path& file)
    : state_(std::make_unique<State>()) {
  const c10::NoGradGuard no_grad;
  State& s = *state_;
  s.name = std::move(name);
  s.layers = layers;
  at::Tensor gram;
  for (int64_t i = 0; i < layers; ++i) {
    const at::Tensor w = layer(i);
    s.columns = w.size(1);
    const at::Tensor square = at::mm(w, w.t());
    gram = i == 0 ? square : gram.add_(square);
  }
  auto [values, vectors] = at::linalg_eigh(gram);
  gram.reset();
  const at::Tensor singular = values.clamp_min(0).sqrt();
  const double largest = std::max(Number(singular.max()), 1e-300);
  const at::Tensor kept = at::nonzero(singular > kSmallest * largest).squeeze(1);
  const at::Tensor u = vectors.index_select(1, kept), sigma = singular.index_select(0, kept);
  s.directions = kept.numel();
  s.scaled_directions = u * sigma;
  s.scale = std::sqrt(static_cast<double>(s.columns * layers));

  std::vector<io::TensorInfo> infos;
  for (int64_t i = 0; i < layers; ++i) {
    infos.push_back({LayerName(i), io::DType::kF32, {s.directions, s.columns}});
  }
  io::SafetensorsWriter writer(file, io::SafetensorsLayout(std::move(infos)));
  for (int64_t i = 0; i < layers; ++i) {
    const at::Tensor v =
        (at::mm(u.t(), layer(i)) / sigma.unsqueeze(1) * s.scale).to(at::kFloat).contiguous();
    writer.Write(*writer.layout().Find(LayerName(i)), 0,
                 {static_cast<const std::byte*>(v.const_data_ptr()), v.nbytes()});
  }
  writer.Finish(false);
  s.file = std::make_unique<io::Checkpoint>(io::Checkpoint::Open(file));
}

LesaKindModel::~LesaKindModel() = default;

LesaKind LesaKindModel::Train(const LesaOptions& options) {
  State& s = *state_;
  s.network = std::make_unique<Network>(s.name, 2 * s.columns, s.columns, options.seed);
  nn::Optimizer optimizer(s.network->Tensors(), {.weight_decay = kWeightDecay});
  // A sample is one direction of one layer that has neighbours.
  const int64_t samples = s.directions * (s.layers - 2);
  LesaKind result{.name = s.name, .directions = s.directions};
  double square = 0, missed = 0, copied = 0;
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const data::Permutation order(samples, options.seed, Hash64("lesa " + s.name),
                                  static_cast<uint64_t>(epoch));
    const bool last = epoch + 1 == options.epochs;
    double sum = 0;
    int64_t batches = 0;
    for (int64_t first = 0; first < samples; first += kBatch, ++batches) {
      const int64_t count = std::min(kBatch, samples - first);
      at::Tensor input = at::empty({count, 2 * s.columns}, at::kFloat);
      at::Tensor target = at::empty({count, s.columns}, at::kFloat);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t sample = order(first + i);
        const int64_t layer = 1 + sample / s.directions, direction = sample % s.directions;
        s.CopyPair(layer - 1, layer + 1, direction,
                   input.mutable_data_ptr<float>() + i * 2 * s.columns);
        std::memcpy(target.mutable_data_ptr<float>() + i * s.columns,
                    s.Coordinates(layer) + direction * s.columns,
                    static_cast<size_t>(s.columns) * sizeof(float));
      }
      const at::Tensor output = s.network->Forward(input);
      const at::Tensor loss = Loss(output, target);
      loss.backward();
      optimizer.Step(kLearningRate);
      optimizer.ClearGradients();
      sum += Number(loss);
      if (!last) continue;
      square += Number(target.square().sum());
      missed += Number((output.detach() - target).square().sum());
      copied += Number((input.narrow(1, 0, s.columns) - target).square().sum());
    }
    const double mean = sum / static_cast<double>(std::max<int64_t>(1, batches));
    if (epoch == 0) result.first_loss = mean;
    result.loss = mean;
  }
  result.prediction_error = std::sqrt(missed / std::max(square, 1e-300));
  result.copy_error = std::sqrt(copied / std::max(square, 1e-300));
  return result;
}

at::Tensor LesaKindModel::Predict(int64_t before) const {
  const c10::NoGradGuard no_grad;
  const State& s = *state_;
  at::Tensor input = at::empty({s.directions, 2 * s.columns}, at::kFloat);
  for (int64_t d = 0; d < s.directions; ++d) {
    s.CopyPair(before, before + 1, d, input.mutable_data_ptr<float>() + d * 2 * s.columns);
  }
  const at::Tensor coordinates = s.network->Forward(input).to(at::kDouble) / s.scale;
  return at::mm(s.scaled_directions, coordinates);
}

}  // namespace orchard::expand
