// An options struct with a field of every kind, and ways to resolve it the way a program does.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/toml_file.h"

namespace orchard::cli {

enum class Shape { kCosine, kLinear, kWarmupStableDecay };
inline constexpr EnumName<Shape> kShapeNames[] = {
    {"cosine", Shape::kCosine}, {"linear", Shape::kLinear}, {"wsd", Shape::kWarmupStableDecay}};
constexpr auto EnumNames(Shape) { return std::span(kShapeNames); }

struct TrainSection {
  int64_t steps = 2000;
  double learning_rate = 2e-3;
  Shape schedule = Shape::kCosine;
  bool shuffle = true;
  std::vector<double> betas = {0.9, 0.999};
  void Fields(FieldVisitor& f) {
    f("steps", steps, "optimiser steps", AtLeast(1));
    f("learning_rate", learning_rate, "peak learning rate", Positive());
    f("schedule", schedule, "shape of the learning rate");
    f("shuffle", shuffle, "draw samples in random order");
    f("betas", betas, "decay rates of the moments", Within(0, 1));
  }
};

struct EvalSection {
  int64_t steps = 10;
  std::optional<bool> exact;
  void Fields(FieldVisitor& f) {
    f("steps", steps, "batches to evaluate", AtLeast(1));
    f("exact", exact, "compare bit by bit");
  }
};

struct EveryKind {
  std::filesystem::path source;
  std::vector<std::string> names;
  std::string note = "none";
  std::filesystem::path cache = "cache";
  std::filesystem::path nowhere;
  std::optional<int64_t> hidden;
  std::optional<double> limit;
  std::optional<std::string> label;
  std::optional<std::filesystem::path> plan;
  std::optional<Shape> shape;
  std::vector<int64_t> sizes;
  std::vector<std::string> words;
  std::vector<std::filesystem::path> files;
  int64_t max_ram = 1'000'000'000;
  int64_t target_params = 1'300'000'000;
  TrainSection train;
  EvalSection eval;
  void Fields(FieldVisitor& f) {
    f.Positional("source", source, "where to start");
    f.Positional("names", names, "what to take", false);
    f("note", note, "free text");
    f("cache", cache, "where to keep files");
    f("nowhere", nowhere, "a path that may be left out");
    f("hidden", hidden, "width", AtLeast(1));
    f("limit", limit, "upper limit");
    f("label", label, "a label");
    f("plan", plan, "a plan", Letter('p'));
    f("shape", shape, "a shape");
    f("sizes", sizes, "several sizes");
    f("words", words, "several words");
    f("files", files, "several files");
    f.Section("train", train);
    f("max_ram", max_ram, "memory to use", Bytes(1));
    f("target_params", target_params, "parameters to reach", Count(1));
    f.Section("eval", eval);
  }
};

// One command over EveryKind, resolved again and again from its defaults.
struct Resolved {
  EveryKind options;
  CommonOptions common;
  FieldTable table;
  Request request;

  explicit Resolved(const std::vector<std::string>& arguments = {}, const std::string& toml = "") {
    table = MakeTable(
        {.info = {}, .fields = [this](FieldVisitor& f) { options.Fields(f); }, .run = nullptr},
        common);
    if (!toml.empty()) ReadConfigText(toml, "run.toml", table);
    request = Resolve(arguments, table);
  }
  Resolved(const Resolved&) = delete;

  std::string Toml() const { return WriteConfig(table, "test"); }
};

// The message of the error that resolving ends in; empty: it did not.
inline std::string ErrorOf(const std::vector<std::string>& arguments,
                           const std::string& toml = "") {
  try {
    Resolved resolved(arguments, toml);
    CheckRequired(resolved.table);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace orchard::cli
