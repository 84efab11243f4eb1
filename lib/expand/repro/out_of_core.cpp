// R6: a LLaMA-shaped bf16 checkpoint several times the bound on memory is grown to twice its width;
// memory stays within the bound, and the result does not depend on bound, threads or parts.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/number_format.h"
#include "base/philox.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "expand/repro/experiments.h"
#include "expand/repro/memory_peak.h"
#include "expand/scratch_directory.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace orchard::expand::repro {
namespace {

namespace fs = std::filesystem;
using arch::Json;

constexpr int64_t kHidden = 512, kVocabulary = 4096, kHeads = 8, kKeyValueHeads = 2, kFfn = 1408;
constexpr int64_t kHeadDim = kHidden / kHeads;

Json Config(int64_t layers) {
  return {{"model_type", "llama"},
          {"vocab_size", kVocabulary},
          {"hidden_size", kHidden},
          {"intermediate_size", kFfn},
          {"num_hidden_layers", layers},
          {"num_attention_heads", kHeads},
          {"num_key_value_heads", kKeyValueHeads},
          {"head_dim", kHeadDim},
          {"max_position_embeddings", 2048},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", false},
          {"torch_dtype", "bfloat16"}};
}

std::vector<io::TensorInfo> Tensors(int64_t layers) {
  std::vector<io::TensorInfo> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors.push_back({name, io::DType::kBF16, std::move(shape)});
  };
  add("model.embed_tokens.weight", {kVocabulary, kHidden});
  add("lm_head.weight", {kVocabulary, kHidden});
  add("model.norm.weight", {kHidden});
  const int64_t key_value = kKeyValueHeads * kHeadDim;
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    add(layer + "self_attn.q_proj.weight", {kHidden, kHidden});
    add(layer + "self_attn.k_proj.weight", {key_value, kHidden});
    add(layer + "self_attn.v_proj.weight", {key_value, kHidden});
    add(layer + "self_attn.o_proj.weight", {kHidden, kHidden});
    add(layer + "mlp.gate_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.up_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, kFfn});
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "post_attention_layernorm.weight", {kHidden});
  }
  return tensors;
}

int64_t Bytes(int64_t layers) {
  int64_t bytes = 0;
  for (const io::TensorInfo& tensor : Tensors(layers)) bytes += 2 * tensor.elements();
  return bytes;
}

// Noise to fill tensors from: every tensor begins at another place of it.
std::vector<BFloat16> Noise(uint64_t seed) {
  std::vector<BFloat16> noise(1 << 20);
  const Philox2 key = PhiloxKey(seed, Hash64("out of core"));
  for (size_t i = 0; i < noise.size(); ++i) {
    noise[i] =
        Narrow<BFloat16>(static_cast<float>(0.02 * kNoiseUnit * NoiseInteger(PhiloxAt(key, i))));
  }
  return noise;
}

// A checkpoint of at least `size` bytes. Returns its size.
int64_t WriteSource(const fs::path& directory, int64_t size, uint64_t seed) {
  int64_t layers = 1;
  while (Bytes(layers) < size) ++layers;
  fs::create_directories(directory);
  std::ofstream(directory / "config.json") << Config(layers).dump(2);
  io::SafetensorsWriter writer(directory / "model.safetensors",
                               io::SafetensorsLayout(Tensors(layers)));
  const std::vector<BFloat16> noise = Noise(seed);
  for (const io::TensorInfo& tensor : writer.layout().tensors()) {
    int64_t at = static_cast<int64_t>(Hash64(tensor.name) % noise.size());
    for (int64_t done = 0; done < tensor.elements();) {
      const int64_t part = std::min(tensor.elements() - done, std::ssize(noise) - at);
      writer.Write(tensor, 2 * done, std::as_bytes(std::span(noise).subspan(at, part)));
      done += part;
      at = 0;
    }
  }
  writer.Finish(false);
  return Bytes(layers);
}

bool SameBytes(const fs::path& a, const fs::path& b) {
  const io::MappedFile first(a), second(b);
  const auto x = first.bytes(), y = second.bytes();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size()) == 0;
}

// Tensor files of `a` that are not the same in `b`.
int64_t DifferentFiles(const fs::path& a, const fs::path& b) {
  int64_t different = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(a)) {
    if (entry.path().extension() != ".safetensors") continue;
    const fs::path other = b / entry.path().filename();
    different += fs::exists(other) && SameBytes(entry.path(), other) ? 0 : 1;
  }
  return different;
}

struct Written {
  int64_t bytes = 0, peak = 0;
  double seconds = 0;
};

Written Grow(const fs::path& source, const fs::path& destination, ExpandOptions options,
             int64_t parts) {
  Written written;
  const SourceModel model = OpenModel(source, {});
  const MethodOptions method{.norm_dtype = Widened::kKeep};
  const Plan plan = MakePlan(
      model,
      {.hidden = 2 * kHidden, .heads = 2 * kHeads, .kv_heads = 2 * kKeyValueHeads, .ffn = 2 * kFfn},
      method);
  const auto begin = std::chrono::steady_clock::now();
  MemoryPeak peak;
  for (int64_t part = 1; part <= parts; ++part) {
    options.part = part;
    options.parts = parts;
    written.bytes += ExpandModel(model, plan, method, destination, options).bytes_written;
  }
  if (parts > 1) Finalize(destination, false);
  written.peak = peak.Stop();
  written.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return written;
}

run::Cell BytesCell(int64_t bytes) {
  return run::Cell::Shown(FormatBytes(bytes), static_cast<double>(bytes));
}

}  // namespace

ExperimentResult OutOfCore(const ReproOptions& options, const Surroundings& surroundings) {
  const auto step = [&](const char* what) {
    if (surroundings.step) surroundings.step(what);
  };
  const ScratchDirectory scratch(options.scratch);
  const int64_t cap =
      options.quick ? std::min<int64_t>(options.max_ram, 16'000'000) : options.max_ram;
  const int64_t size = options.checkpoint_size > 0 ? options.checkpoint_size : 4 * cap;
  step("source");
  const int64_t source_bytes = WriteSource(scratch / "source", size, surroundings.seed);
  const ExpandOptions whole{.shard_size = std::max<int64_t>(size, 32'000'000),
                            .max_ram = cap,
                            .threads = surroundings.threads,
                            .seed = surroundings.seed};
  step("whole");
  const Written once = Grow(scratch / "source", scratch / "whole", whole, 1);
  ExpandOptions divided = whole;
  divided.max_ram = std::max<int64_t>(cap / 4, 1 << 22);
  divided.threads = 1;
  step("in three parts");
  const Written parts = Grow(scratch / "source", scratch / "parts", divided, 3);

  ExperimentResult result;
  result.claim =
      "A checkpoint of any size is grown within the bound on memory, and the bytes do "
      "not depend on the bound, the threads or the parts.";
  const auto ratio = [](int64_t a, int64_t b) {
    return Single(static_cast<double>(a) / static_cast<double>(b));
  };
  result.measurements = {
      {"source over the bound on memory", "", ratio(source_bytes, cap),
       Expectation{Relation::kAtLeast, 3}},
      {"peak memory over its bound", "", ratio(once.peak, cap), Expectation{Relation::kAtMost, 1}},
      {"peak memory over its bound, in parts", "", ratio(parts.peak, divided.max_ram),
       Expectation{Relation::kAtMost, 1}},
      {"shards that differ between the two", "",
       Single(static_cast<double>(DifferentFiles(scratch / "whole", scratch / "parts"))),
       Expectation{Relation::kAtMost, 0}}};
  const auto row = [&](const char* name, const Written& w, const ExpandOptions& o) {
    return std::vector<run::Cell>{
        name,
        BytesCell(source_bytes),
        BytesCell(w.bytes),
        BytesCell(o.max_ram),
        BytesCell(w.peak),
        o.threads,
        w.seconds,
        run::Cell::Shown(
            FormatBytes(static_cast<uint64_t>(static_cast<double>(w.bytes) / w.seconds)) + "/s",
            static_cast<double>(w.bytes) / w.seconds)};
  };
  result.tables.push_back(
      {.caption = "Two expansions of one source",
       .columns = {"Run", "Source", "Target", "Bound", "Peak", "Threads", "Time (s)", "Rate"},
       .rows = {row("whole", once, whole), row("three parts", parts, divided)}});
  result.notes.push_back(
      "Memory is the process's anonymous memory (RssAnon) above what it had "
      "before; mapped pages of the source do not count.");
  return result;
}

}  // namespace orchard::expand::repro
