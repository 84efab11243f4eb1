// Graphs made up for benchmarks and tests: by a rule, or of a known model.
#pragma once

#include <cstdint>

#include "cli/fields.h"
#include "place/graph.h"
#include "place/models/model_options.h"

namespace orchard::place {

enum class Shape {
  kChain,        // one operator after the other
  kForkJoin,     // blocks of `width` parallel operators between a fork and a join
  kLayered,      // `width` operators per layer, each reading `degree` of the layer before
  kInceptionV3,  // the models of models/models.h
  kGnmt,
  kTransformerBase,
  kMixtureOfExperts,
  kTwoTower
};
inline constexpr cli::EnumName<Shape> kShapeNames[] = {
    {"chain", Shape::kChain},
    {"fork-join", Shape::kForkJoin},
    {"layered", Shape::kLayered},
    {"inception-v3", Shape::kInceptionV3},
    {"gnmt", Shape::kGnmt},
    {"transformer-base", Shape::kTransformerBase},
    {"moe", Shape::kMixtureOfExperts},
    {"two-tower", Shape::kTwoTower}};
constexpr auto EnumNames(Shape) { return std::span(kShapeNames); }

struct GenerateOptions {
  Shape shape = Shape::kLayered;
  int64_t ops = 1000;
  int64_t width = 50;
  int64_t degree = 2;
  double us = 100;
  int64_t bytes = 1'000'000;
  int64_t perm = 1'000'000;
  ModelOptions model;

  void Fields(cli::FieldVisitor& f) {
    f("shape", shape, "a rule (chain, fork-join, layered) or a model");
    f("ops", ops, "operators of chain, fork-join and layered",
      cli::Constraint{.lower = 1, .upper = 1e7, .scale = cli::Scale::kCount});
    f("width", width, "parallel operators of fork-join and layered", cli::Between(1, 1e6));
    f("degree", degree, "inputs of each operator of layered", cli::Between(1, 64));
    f("us", us, "mean time of an operator; drawn between none and twice as much", cli::AtLeast(0));
    f("bytes", bytes, "mean size of a tensor, drawn alike", cli::Bytes());
    f("perm", perm, "mean parameters of an operator, drawn alike", cli::Bytes());
    f.Section("model", model);
  }
};

// The same graph for the same options and seed, on every machine (but for the preset cpu-core,
// which is measured). Throws UsageError: a size that the model does not have.
Graph Generate(const GenerateOptions& options, uint64_t seed);

}  // namespace orchard::place
