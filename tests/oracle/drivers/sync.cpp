// orchard-sync CONFIG.json DATA OUT: runs an algorithm of lib/sync in double on simulated ranks,
// for the oracle in Python.
//
//   CONFIG  {"algo": "cser", "ranks": 4, "steps": 50, "lr": 0.05, "layout": [["w", [8, 4]], ...],
//   ...} DATA    f64: x_0 [size], a [size], b [ranks, steps, size]; the gradient of rank i in step
//   t is
//           a x - b_it
//   OUT     f64: x_i [ranks, size], e_i [ranks, size] (zeros where an algorithm has none)
//
// Prints {"size": ..., "offsets": [...], "interval": H, "implementation": 1 | 2, "draws": {"C1":
// [[[begin, end], ...], ...], "C2": ...}} with the selections of the first draws.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/simulated.h"
#include "sync/algorithm.h"

namespace orchard::sync {
namespace {

using nlohmann::json;

constexpr uint64_t kSeed = 17;

template <class E>
void ReadEnum(const json& config, const char* key, E& value) {
  if (!config.contains(key)) return;
  for (const auto& entry : EnumNames(E{})) {
    if (config[key] == entry.name) value = entry.value;
  }
}

template <class V>
void Read(const json& config, const char* key, V& value) {
  if (config.contains(key)) value = config[key].get<V>();
}

template <class V>
void ReadOptional(const json& config, const char* key, std::optional<V>& value) {
  if (config.contains(key)) value = config[key].get<V>();
}

void ReadKind(const json& config, const char* key, std::optional<CompressorKind>& kind) {
  if (!config.contains(key)) return;
  kind.emplace();
  ReadEnum(config, key, *kind);
}

AlgorithmOptions ReadAlgorithm(const json& config) {
  AlgorithmOptions o;
  ReadEnum(config, "algo", o.algo);
  ReadEnum(config, "impl", o.impl);
  ReadEnum(config, "nag", o.nag);
  ReadEnum(config, "momentum_sync", o.momentum_sync);
  ReadEnum(config, "second_moment_sync", o.second_moment_sync);
  ReadEnum(config, "base", o.base);
  Read(config, "beta1", o.beta1);
  ReadOptional(config, "beta2", o.beta2);
  Read(config, "epsilon", o.epsilon);
  Read(config, "momentum", o.momentum);
  Read(config, "weight_decay", o.weight_decay);
  return o;
}

CompressOptions ReadCompress(const json& config) {
  CompressOptions o;
  Read(config, "ratio", o.ratio);
  ReadKind(config, "c1", o.c1);
  ReadKind(config, "c2", o.c2);
  ReadOptional(config, "c1_ratio", o.c1_ratio);
  ReadOptional(config, "c2_ratio", o.c2_ratio);
  ReadOptional(config, "interval", o.interval);
  Read(config, "block", o.block);
  ReadEnum(config, "order", o.order);
  ReadEnum(config, "layout_of_blocks", o.layout);
  Read(config, "c1_slab", o.c1_slab);
  Read(config, "c2_slab", o.c2_slab);
  ReadEnum(config, "wire", o.wire);
  ReadOptional(config, "delay", o.delay);
  Read(config, "theta", o.theta);
  Read(config, "bucket_mb", o.bucket_mb);
  Read(config, "rank", o.rank);
  Read(config, "dense_steps", o.dense_steps);
  Read(config, "density_steps", o.density_steps);
  Read(config, "ef21_momentum", o.ef21_momentum);
  return o;
}

json Draws(const ArenaLayout& layout, const SelectorOptions& options, const char* stream,
           int64_t count) {
  const BlockSelector selector(layout, options, kSeed, stream);
  json draws = json::array();
  for (int64_t draw = 0; draw < count; ++draw) {
    json runs = json::array();
    for (const Range& run : selector.At(draw).runs) runs.push_back({run.begin, run.end});
    draws.push_back(runs);
  }
  return draws;
}

// The selector that a compressor of this kind draws with.
SelectorOptions SelectorOf(CompressorKind kind, SelectorOptions options) {
  if (kind == CompressorKind::kRandomK) {
    return {.ratio = options.ratio, .block = 1, .order = BlockOrder::kUniform};
  }
  if (kind != CompressorKind::kGrbs) options = {};
  return options;
}

int Main(char** argv) {
  std::ifstream config_file(argv[1]), data_file(argv[2], std::ios::binary);
  const json config = json::parse(config_file);
  std::vector<TensorShape> tensors;
  for (const json& t : config["layout"])
    tensors.push_back({t[0], t[1].get<std::vector<int64_t>>()});
  const ArenaLayout layout(tensors);
  const int64_t size = layout.size(), steps = config["steps"];
  const int ranks = config["ranks"];
  std::vector<double> data(static_cast<size_t>(size * (2 + ranks * steps)));
  data_file.read(reinterpret_cast<char*>(data.data()),
                 static_cast<std::streamsize>(data.size() * sizeof(double)));
  const AlgorithmOptions algorithm = ReadAlgorithm(config);
  const CompressOptions compress = ReadCompress(config);
  std::vector<double> out(static_cast<size_t>(2 * ranks * size));
  comm::RunSimulated(ranks, [&](comm::Communicator& c) {
    const auto made = MakeAlgorithm<double>(algorithm, compress, layout, kSeed);
    FlatBuffer<double> x(size), g(size);
    std::copy_n(data.begin(), size, x.data());
    made->Begin(x.span());
    made->ResumeAt(0);
    const double *a = data.data() + size, *b = data.data() + size * (2 + c.rank() * steps);
    for (int64_t t = 1; t <= steps; ++t, b += size) {
      for (int64_t i = 0; i < size; ++i) g.data()[i] = a[i] * x.data()[i] - b[i];
      made->Step({.step = t,
                  .learning_rate = config["lr"],
                  .values = x.span(),
                  .gradient = g.span(),
                  .ranks = c});
    }
    std::copy_n(x.data(), size, out.begin() + c.rank() * size);
    std::copy(made->error().begin(), made->error().end(), out.begin() + (ranks + c.rank()) * size);
  });
  std::ofstream(argv[3], std::ios::binary)
      .write(reinterpret_cast<const char*>(out.data()),
             static_cast<std::streamsize>(out.size() * sizeof(double)));
  const ResolvedAlgorithm resolved = Resolve(algorithm, compress);
  json result = {
      {"size", size},
      {"interval", resolved.interval},
      {"implementation", resolved.implementation},
      {"draws",
       {{"C1", Draws(layout, SelectorOf(resolved.c1, resolved.c1_selector), "C1", steps)},
        {"C2", Draws(layout, SelectorOf(resolved.c2, resolved.c2_selector), "C2", steps)}}}};
  for (const Slot& slot : layout.slots()) result["offsets"].push_back(slot.offset);
  fmt::print("{}\n", result.dump());
  return 0;
}

}  // namespace
}  // namespace orchard::sync

int main(int, char** argv) { return orchard::sync::Main(argv); }
