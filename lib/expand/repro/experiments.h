// Small experiments that show on any machine what the method promises and what the paper found
// (docs/methods/lemon-expand.md, "Experiments").
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "expand/repro/options.h"
#include "run/experiment.h"

namespace orchard::expand::repro {

using run::Estimate;
using run::Expectation;
using run::ExperimentResult;
using run::GeometricMeanOf;
using run::Judge;
using run::MeanOf;
using run::Measurement;
using run::Relation;
using run::Single;

struct Surroundings {
  uint64_t seed = 0;  // of the first run
  int threads = 1;
  std::string device = "cpu";       // of trainings on the GPU tiers
  std::filesystem::path directory;  // of the run; empty: nothing is kept
  bool resume = false;              // keep the trainings that an earlier try finished
  std::function<void(std::string_view what)> step;  // called before each piece of work
};

struct ExperimentInfo {
  std::string_view name;   // "R1"
  std::string_view title;  // a line
  ExperimentResult (*run)(const ReproOptions& options, const Surroundings& surroundings);
};

std::span<const ExperimentInfo> Experiments();

// The experiments that `names` lists, in the order of `Experiments`; "all" is every one that can
// run, which leaves out R5 where no model is given. Throws UsageError with the names there are.
std::vector<const ExperimentInfo*> FindExperiments(const ReproOptions& options);

// R1: grown models compute what their source computes, for every block type, width and depth.
ExperimentResult LosslessSweep(const ReproOptions& options, const Surroundings& surroundings);
// R2: copies that were split equally stay equal for ever; LEMON's grow apart.
ExperimentResult Symmetry(const ReproOptions& options, const Surroundings& surroundings);
// R3: an expanded model reaches the quality of one trained from scratch on a shorter schedule, with
// the same peak learning rate.
ExperimentResult ScheduleClaim(const ReproOptions& options, const Surroundings& surroundings);
// R4: each part of LEMON's LayerNorm rule is needed.
ExperimentResult NormAblation(const ReproOptions& options, const Surroundings& surroundings);
// R5: sentence embeddings of a real model keep their cosines. Throws UsageError without a model.
ExperimentResult SentenceCosines(const ReproOptions& options, const Surroundings& surroundings);
// R6: memory of an expansion is bounded, whatever the model's size.
ExperimentResult OutOfCore(const ReproOptions& options, const Surroundings& surroundings);

}  // namespace orchard::expand::repro
