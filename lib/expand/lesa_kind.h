// One kind of matrix of all layers: their common singular directions, and a network that predicts
// how a layer lies in them from how its neighbours do.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "expand/lesa.h"

namespace orchard::expand {

// Bytes that predicting a kind of matrix [rows, columns] takes, without what is mapped from disk.
int64_t LesaBytes(int64_t rows, int64_t columns);

class LesaKindModel {
 public:
  // Layer i's matrix [rows, columns] in f64, read when asked for.
  using Layer = std::function<at::Tensor(int64_t layer)>;

  // Decomposes W_i = U S V_i of all layers, concatenated along their inputs. `file` gets the V_i,
  // [directions, columns] in f32, and is mapped from then on.
  LesaKindModel(std::string name, int64_t layers, Layer layer, const std::filesystem::path& file);
  ~LesaKindModel();

  // Trains the network to predict V_i from V_(i-1) and V_(i+1).
  LesaKind Train(const LesaOptions& options);

  // What stands between layers `before` and `before` + 1: [rows, columns] in f64.
  at::Tensor Predict(int64_t before) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::expand
