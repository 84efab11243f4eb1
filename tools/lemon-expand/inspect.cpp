// lemon-expand inspect: what a model is, and what it can grow into.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "arch/resnet.h"
#include "base/error.h"
#include "base/number_format.h"
#include "expand/plan.h"
#include "io/safetensors.h"
#include "lemon-expand/commands.h"

namespace orchard::lemon_expand {
namespace {

using arch::Json;

struct InspectOptions {
  std::filesystem::path model, arch_map;
  bool tensors = false;
  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "model directory, index or safetensors file");
    f("tensors", tensors, "list every tensor with its axes");
    f("arch_map", arch_map, "architecture table of your own (docs/formats.md)");
  }
};

struct Totals {
  int64_t parameters = 0;
  uint64_t bytes = 0;
  std::map<std::string, int64_t> tensors_of;  // dtype -> number of tensors
};

Totals Count(const io::Checkpoint& checkpoint) {
  Totals totals;
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    totals.parameters += tensor.elements();
    totals.bytes += tensor.end - tensor.begin;
    ++totals.tensors_of[std::string(io::Name(tensor.dtype))];
  }
  return totals;
}

const char* BlockText(const arch::Architecture& a) {
  switch (a.block) {
    case arch::Block::kPre:
      return "norm before each sub-block";
    case arch::Block::kPost:
      return "norm after the residual sum";
    case arch::Block::kPostResidual:
      return "norm after each sub-block";
    default:
      return "norms before and after each sub-block";
  }
}

// A stage whose only block has a convolution beside it has none to make new ones after.
std::string LegalDepths(const arch::ResNetShape& shape) {
  std::string fixed;
  for (int stage = 0; stage < arch::kResNetStages; ++stage) {
    if (shape.blocks[stage] > 1 || !shape.HasDownsample(stage, 0)) continue;
    fixed += fmt::format("{}{}", fixed.empty() ? "" : ", ", stage + 1);
  }
  return fmt::format("any from {} on{}", fmt::join(shape.blocks, ","),
                     fixed.empty() ? "" : "; not in stage " + fixed);
}

// The rule for each size, in the words of a user.
std::map<std::string, std::string> LegalTargets(const expand::SourceModel& m) {
  const arch::Architecture& a = m.architecture;
  const arch::Sizes& s = m.sizes;
  if (s.resnet) {
    return {{"width-per-group", fmt::format("any from {} on", s.resnet->inner)},
            {"channels", fmt::format("any from {} on", s.resnet->stem)},
            {"depths", LegalDepths(*s.resnet)}};
  }
  const bool layer_norm = a.norm == arch::Norm::kLayer;
  const bool multiples =
      a.block == arch::Block::kPost || (a.block == arch::Block::kSandwich && layer_norm);
  std::map<std::string, std::string> legal;
  legal["hidden"] = multiples ? fmt::format("a multiple of {}", s.hidden)
                    : a.head_dim_is_hidden_over_heads
                        ? fmt::format("a multiple of {} from {} on", s.head_dim, s.hidden)
                        : fmt::format("any from {} on", s.hidden);
  if (a.hidden_divisible_by_heads) legal["hidden"] += ", divisible by the heads";
  legal["heads"] = a.head_dim_is_hidden_over_heads
                       ? fmt::format("hidden / {}", s.head_dim)
                       : fmt::format("any from {} on whose groups hold every query head", s.heads);
  legal["ffn"] = fmt::format("any from {} on", s.ffn);
  legal["layers"] = a.no_depth.empty() ? fmt::format("any from {} on", s.layers)
                                       : fmt::format("{}: {}", s.layers, a.no_depth);
  return legal;
}

Json TensorsJson(const io::Checkpoint& checkpoint, const expand::SourceModel* model) {
  Json list = Json::array();
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    Json entry = {
        {"name", tensor.name}, {"dtype", io::Name(tensor.dtype)}, {"shape", tensor.shape}};
    if (const auto match = model ? model->architecture.Find(tensor.name) : std::nullopt) {
      entry["axes"] = match->rule->axes;
      entry["slot"] = match->Slot();
    }
    list.push_back(entry);
  }
  return list;
}

Json ToJson(const io::Checkpoint& checkpoint, const expand::SourceModel* model,
            const std::string& unknown, bool list) {
  const Totals totals = Count(checkpoint);
  Json json = {{"parameters", totals.parameters},
               {"bytes", totals.bytes},
               {"files", checkpoint.files().size()},
               {"tensors_by_dtype", totals.tensors_of}};
  if (model) {
    json["model_type"] = model->architecture.model_type;
    json["sizes"] = expand::ToJson(model->sizes);
    json["epsilon"] = arch::Epsilon(model->architecture, model->config);
    json["legal_targets"] = LegalTargets(*model);
  } else {
    json["architecture_unknown"] = unknown;
  }
  if (list) json["tensors"] = TensorsJson(checkpoint, model);
  return json;
}

void PrintTensors(const io::Checkpoint& checkpoint, const expand::SourceModel* model) {
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    const auto match = model ? model->architecture.Find(tensor.name) : std::nullopt;
    fmt::print("{:<5} {:<22} {:<12} {}\n", io::Name(tensor.dtype),
               fmt::format("[{}]", fmt::join(tensor.shape, ", ")),
               match ? fmt::format("{}", fmt::join(match->rule->axes, " ")) : "?", tensor.name);
  }
}

void PrintResNet(const arch::Architecture& a, const arch::ResNetShape& shape) {
  const std::string name = arch::ResNetName(shape);
  fmt::print("{}: {}{}\n", a.model_type, a.summary, name.empty() ? "" : " (" + name + ")");
  fmt::print(
      "{} blocks, {} channels after the stem and {} before the {} classes, width per group {}\n",
      fmt::join(shape.blocks, " + "), shape.stem, shape.Channels(arch::kResNetStages - 1),
      shape.classes, shape.inner);
}

void PrintModel(const io::Checkpoint& checkpoint, const expand::SourceModel* model,
                const std::string& unknown) {
  const Totals totals = Count(checkpoint);
  std::string dtypes;
  for (const auto& [dtype, count] : totals.tensors_of)
    dtypes += fmt::format("{}{} {}", dtypes.empty() ? "" : ", ", count, dtype);
  fmt::print("{} tensors ({}), {} parameters, {} in {} file{}\n", checkpoint.tensors().size(),
             dtypes, FormatCount(static_cast<double>(totals.parameters)), FormatBytes(totals.bytes),
             checkpoint.files().size(), checkpoint.files().size() == 1 ? "" : "s");
  if (!model) {
    fmt::print("architecture: {}\n", unknown);
    return;
  }
  const arch::Architecture& a = model->architecture;
  const arch::Sizes& s = model->sizes;
  if (s.resnet) {
    PrintResNet(a, *s.resnet);
  } else {
    fmt::print("{}: {}; {}, epsilon {:g}\n", a.model_type, a.summary, BlockText(a),
               arch::Epsilon(a, model->config));
    fmt::print("{} layers, hidden {}, {} heads ({} key-value) of {}, MLP {}\n", s.layers, s.hidden,
               s.heads, s.kv_heads, s.head_dim, s.ffn);
  }
  fmt::print("grows without loss to\n");
  for (const auto& [size, rule] : LegalTargets(*model))
    fmt::print("  --{:<{}} {}\n", size, s.resnet ? 15 : 8, rule);
}

int RunInspect(const InspectOptions& options, const cli::Context& context) {
  const io::Checkpoint checkpoint = io::Checkpoint::Open(options.model);
  std::optional<expand::SourceModel> model;
  std::string unknown;
  try {
    model.emplace(expand::OpenModel(options.model, options.arch_map));
  } catch (const ImpossibleError& e) {
    unknown = e.what();  // its tensors can be listed all the same
  } catch (const DataError& e) {
    unknown = e.what();
  }
  const expand::SourceModel* known = model ? &*model : nullptr;
  if (context.common.json) {
    fmt::print("{}\n", ToJson(checkpoint, known, unknown, options.tensors).dump());
  } else {
    if (options.tensors) PrintTensors(checkpoint, known);
    PrintModel(checkpoint, known, unknown);
  }
  return 0;
}

}  // namespace

void AddInspect(cli::Program& program) {
  program.Add<InspectOptions>({.name = "inspect",
                               .summary = "shows what a model is and what it can grow into",
                               .example = "lemon-expand inspect all-MiniLM-L6-v2 --tensors"},
                              RunInspect);
}

}  // namespace orchard::lemon_expand
