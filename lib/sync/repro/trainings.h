// The trainings that the experiments are made of: 8 simulated ranks on 10,000 images of
// Fashion-MNIST, and a perceptron of 109,386 parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "run/case_runner.h"
#include "run/estimate.h"
#include "run/report.h"
#include "sync/repro/options.h"
#include "sync/train_options.h"
#include "sync/training_data.h"

namespace orchard::sync::repro {

struct Setting {
  bool quick = false;
  int64_t runs = 3;
  uint64_t seed = 0;      // of the first run
  SyncTrainOptions base;  // of all trainings
  std::unique_ptr<const TrainingData> data;

  // Reads the images. Throws DataError.
  static Setting Make(const ReproOptions& options, uint64_t seed);
  // All that a result depends on besides its name.
  std::string Key() const;
};

// A method as tables call it.
struct Method {
  const char* name;
  AlgorithmKind algo;
  Implementation impl = Implementation::kAuto;
};
inline constexpr Method kSgd = {"SGD", AlgorithmKind::kSgd};
inline constexpr Method kEfSgd = {"EF-SGD", AlgorithmKind::kEfSgd};
inline constexpr Method kQsparse = {"QSparse-local-SGD", AlgorithmKind::kQsparse};
inline constexpr Method kCsea = {"CSEA", AlgorithmKind::kCsea};
inline constexpr Method kCser1 = {"CSER, impl. I", AlgorithmKind::kCser, Implementation::kOne};
inline constexpr Method kCser2 = {"CSER, impl. II", AlgorithmKind::kCser, Implementation::kTwo};
inline constexpr Method kCserPl = {"CSER-PL", AlgorithmKind::kCserPl};
// All but dense SGD.
inline constexpr Method kCompressed[] = {kEfSgd, kQsparse, kCsea, kCser1, kCser2, kCserPl};

// One set of options, run with several seeds. Sets with the same name are the same training, and
// are run once however many experiments ask for them.
struct Training {
  std::string name;
  SyncTrainOptions options;
};

// The training of a method; of dense SGD the ratio does not matter.
Training TrainingOf(const Setting& setting, const Method& method, double ratio, double rate = 0.01);
// Whether a method has this ratio here: CSER sends gradients at twice the ratio, for which the
// model has too few blocks beyond 512.
bool Fits(const Method& method, double ratio);
// A variant of it: `what` makes its name another one.
Training Varied(Training training, const std::string& what);

std::vector<run::Case> CasesOf(const Setting& setting, const std::vector<Training>& trainings);

// What several seeds of a training gave. A run that diverged counts with the accuracy of a guess.
struct Outcome {
  run::Estimate accuracy;       // of the averaged model, %
  run::Estimate drift;          // of the runs that did not diverge; not a number where all did
  double ratio = 0, bytes = 0;  // dense traffic over traffic; sent by rank 0
  int64_t runs = 0, diverged = 0;
};
Outcome OutcomeOf(const Setting& setting, const run::CaseResults& results,
                  const Training& training);

// By how many points (%) `a` is above `b`, seed by seed.
run::Estimate Difference(const Setting& setting, const run::CaseResults& results, const Training& a,
                         const Training& b);

// "84.5 ± 0.3", "10.0, 3 of 3 diverged".
run::Cell AccuracyCell(const Outcome& outcome);

}  // namespace orchard::sync::repro
