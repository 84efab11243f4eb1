// lemon-expand inspect: what a checkpoint holds.
#include <fmt/ranges.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "lemon-expand/commands.h"

namespace orchard::lemon_expand {
namespace {

struct InspectOptions {
  std::filesystem::path model;
  bool tensors = true;
  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "model directory, index or safetensors file");
    f("tensors", tensors, "list every tensor");
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

void PrintJson(const io::Checkpoint& checkpoint, const Totals& totals, bool list) {
  nlohmann::ordered_json json = {{"parameters", totals.parameters},
                                 {"bytes", totals.bytes},
                                 {"files", checkpoint.files().size()},
                                 {"tensors_by_dtype", totals.tensors_of}};
  if (list) {
    json["tensors"] = nlohmann::ordered_json::array();
    for (const io::TensorInfo& tensor : checkpoint.tensors()) {
      json["tensors"].push_back(
          {{"name", tensor.name}, {"dtype", io::Name(tensor.dtype)}, {"shape", tensor.shape}});
    }
  }
  fmt::print("{}\n", json.dump());
}

void PrintTable(const io::Checkpoint& checkpoint, const Totals& totals, bool list) {
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    if (!list) break;
    fmt::print("{:<5} [{}] {}\n", io::Name(tensor.dtype), fmt::join(tensor.shape, ", "),
               tensor.name);
  }
  std::string dtypes;
  for (const auto& [dtype, count] : totals.tensors_of) {
    dtypes += fmt::format("{}{} {}", dtypes.empty() ? "" : ", ", count, dtype);
  }
  fmt::print("{} tensors ({}), {} parameters, {} bytes in {} file(s)\n",
             checkpoint.tensors().size(), dtypes, totals.parameters, totals.bytes,
             checkpoint.files().size());
}

int RunInspect(const InspectOptions& options, const cli::Context& context) {
  const io::Checkpoint checkpoint = io::Checkpoint::Open(options.model);
  const Totals totals = Count(checkpoint);
  if (context.common.json) {
    PrintJson(checkpoint, totals, options.tensors);
  } else {
    PrintTable(checkpoint, totals, options.tensors);
  }
  return 0;
}

}  // namespace

void AddInspect(cli::Program& program) {
  program.Add<InspectOptions>({.name = "inspect",
                               .summary = "lists the tensors of a model",
                               .example = "lemon-expand inspect model/"},
                              RunInspect);
}

}  // namespace orchard::lemon_expand
