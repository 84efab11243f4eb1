#include "tiny_model.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "base/half.h"
#include "base/hash.h"
#include "base/philox.h"
#include "expand/tensor_runner.h"

namespace orchard::expand {
namespace {

int64_t Product(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

template <class T, class Real>
void Append(double value, std::vector<std::byte>& bytes) {
  const T stored = Narrow<T>(static_cast<Real>(value));
  const auto* begin = reinterpret_cast<const std::byte*>(&stored);
  bytes.insert(bytes.end(), begin, begin + sizeof stored);
}

std::vector<std::byte> Encode(const std::vector<double>& values, io::DType dtype) {
  std::vector<std::byte> bytes;
  for (double value : values) {
    switch (dtype) {
      case io::DType::kBF16:
        Append<BFloat16, float>(value, bytes);
        break;
      case io::DType::kF16:
        Append<Float16, float>(value, bytes);
        break;
      case io::DType::kF32:
        Append<float, float>(value, bytes);
        break;
      default:
        Append<double, double>(value, bytes);
    }
  }
  return bytes;
}

template <class T>
double At(std::span<const std::byte> bytes, size_t i) {
  T value;
  memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return static_cast<double>(Widen(value));
}

std::vector<double> Decode(std::span<const std::byte> bytes, io::DType dtype) {
  std::vector<double> values(bytes.size() / io::ByteSize(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    switch (dtype) {
      case io::DType::kBF16:
        values[i] = At<BFloat16>(bytes, i);
        break;
      case io::DType::kF16:
        values[i] = At<Float16>(bytes, i);
        break;
      case io::DType::kF32:
        values[i] = At<float>(bytes, i);
        break;
      default:
        values[i] = At<double>(bytes, i);
    }
  }
  return values;
}

// Extent of an axis of the architecture tables: "R", "H+G+G", "H*3".
int64_t Extent(const std::string& axis, const Sizes& sizes) {
  if (const size_t plus = axis.find('+'); plus != std::string::npos) {
    return Extent(axis.substr(0, plus), sizes) + Extent(axis.substr(plus + 1), sizes);
  }
  if (axis == "R" || axis == "T") return sizes.hidden;
  if (axis == "H") return sizes.heads * sizes.head_dim;
  if (axis == "H*3") return 3 * sizes.heads * sizes.head_dim;
  if (axis == "G") return sizes.kv_heads * sizes.head_dim;
  if (axis == "F") return sizes.ffn;
  if (axis == "d") return sizes.head_dim;
  return axis == "1" ? 1 : 3;
}

}  // namespace

std::vector<double> TinyValues(const std::string& name, int64_t count) {
  std::vector<double> values(count);
  const Philox2 key = PhiloxKey(11, Hash64(name));
  for (int64_t i = 0; i < count; ++i) values[i] = 0.3 * kNoiseUnit * NoiseInteger(PhiloxAt(key, i));
  return values;
}

void WriteTensors(const std::filesystem::path& path, const std::vector<TinyTensor>& tensors,
                  io::DType dtype) {
  std::vector<io::TensorInfo> infos;
  for (const TinyTensor& tensor : tensors) infos.push_back({tensor.name, dtype, tensor.shape});
  io::SafetensorsWriter writer(path, io::SafetensorsLayout(std::move(infos)));
  for (const TinyTensor& tensor : tensors) {
    writer.Write(*writer.layout().Find(tensor.name), 0, Encode(tensor.values, dtype));
  }
  writer.Finish(false);
}

std::vector<double> ReadValues(const io::Checkpoint& checkpoint, const std::string& name) {
  const io::TensorInfo& info = checkpoint.Get(name);
  return Decode(checkpoint.Bytes(info), info.dtype);
}

void WriteTinyModel(const std::filesystem::path& directory, const Json& config, io::DType dtype,
                    const std::string& without, const std::vector<TinyTensor>& with) {
  const arch::Architecture& a = arch::FindArchitecture(config.at("model_type").get<std::string>());
  const Sizes sizes = arch::ReadSizes(a, config, "tiny");
  std::vector<TinyTensor> tensors = with;
  for (const arch::TensorRule& rule : a.rules) {
    const bool bias = rule.kind == arch::Kind::kBias || rule.kind == arch::Kind::kNormBias;
    const bool head =
        rule.slot == "head.weight" && arch::ConfigValue(a, config, a.keys.tied) == Json(false);
    const bool layer = rule.name.find("{i}") != std::string::npos;
    if (rule.optional && !head && !(bias && layer)) continue;
    for (int64_t i = 0; i < (layer ? sizes.layers : 1); ++i) {
      TinyTensor tensor{arch::Architecture::NameOf({&rule, a.prefixes[0]}, i, 0)};
      if (tensor.name == without) continue;
      for (const std::string& axis : rule.axes) tensor.shape.push_back(Extent(axis, sizes));
      tensor.values = TinyValues(tensor.name, Product(tensor.shape));
      tensors.push_back(std::move(tensor));
    }
  }
  std::filesystem::create_directories(directory);
  WriteTensors(directory / "model.safetensors", tensors, dtype);
  std::ofstream(directory / "config.json") << config.dump(2);
}

Json TinyGpt2() {
  return {{"model_type", "gpt2"}, {"n_embd", 8},   {"n_head", 4},
          {"n_layer", 2},         {"n_inner", 10}, {"layer_norm_epsilon", 1e-3}};
}

Json TinyLlama() {
  return {{"model_type", "llama"},    {"hidden_size", 8},     {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"head_dim", 2},        {"num_key_value_heads", 2},
          {"intermediate_size", 10},  {"rms_norm_eps", 1e-3}, {"tie_word_embeddings", false}};
}

Json TinyBert() {
  return {{"model_type", "bert"},     {"hidden_size", 8},        {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"intermediate_size", 10}, {"layer_norm_eps", 1e-6}};
}

std::vector<std::byte> RunOp(const io::Checkpoint& source, const TensorOp& op, uint64_t seed,
                             int64_t units) {
  const TensorRunner runner(source, op, {seed, false});
  const int64_t unit_bytes = op.unit_elements() * io::ByteSize(op.dtype);
  std::vector<std::byte> bytes(op.elements() * io::ByteSize(op.dtype));
  const int64_t step = units > 0 ? units : op.block_units();
  for (int64_t at = 0; at < op.block_units(); at += step) {
    const int64_t end = std::min(op.block_units(), at + step);
    runner.Run(at, end, std::span(bytes).subspan(at * unit_bytes, (end - at) * unit_bytes));
  }
  return bytes;
}

std::vector<double> RunValues(const io::Checkpoint& source, const TensorOp& op, uint64_t seed) {
  return Decode(RunOp(source, op, seed), op.dtype);
}

const TensorOp& FindOp(const Plan& plan, const std::string& name) {
  for (const TensorOp& op : plan.tensors) {
    if (op.name == name) return op;
  }
  throw std::runtime_error("the plan has no tensor " + name);
}

TinySource::TinySource(const std::function<void(const std::filesystem::path&)>& write) {
  write(scratch.path());
  model.emplace(OpenModel(scratch.path(), {}));
}

Plan TinySource::Grow(const TargetOptions& target, const MethodOptions& method) const {
  return MakePlan(*model, target, method);
}

std::vector<double> TinySource::Values(const Plan& plan, const std::string& name) const {
  return RunValues(model->weights, FindOp(plan, name));
}

std::vector<double> TinySource::Source(const std::string& name) const {
  return ReadValues(model->weights, name);
}

TinyTransformer::TinyTransformer(const Json& config, io::DType dtype)
    : TinySource([&](const auto& path) { WriteTinyModel(path, config, dtype); }) {}

MethodOptions With(Method method) {
  MethodOptions options;
  options.method = method;
  return options;
}

}  // namespace orchard::expand
