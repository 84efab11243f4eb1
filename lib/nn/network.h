// A model of any kind, Transformer or residual network, behind what training and evaluation need.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <variant>

#include "arch/architecture.h"
#include "nn/model_head.h"
#include "nn/parameters.h"
#include "nn/resnet.h"
#include "nn/sequence.h"
#include "nn/training_context.h"
#include "nn/transformer.h"

namespace orchard::nn {

class Network {
 public:
  explicit Network(Transformer transformer) : model_(std::move(transformer)) {}
  explicit Network(ResNet resnet) : model_(std::move(resnet)) {}

  // `training` null: evaluation. Running statistics are left alone; in training the output says
  // what they are to move towards.
  ModelOutput Forward(const Batch& batch, const TrainingContext* training = nullptr) const;

  const Parameters& parameters() const;
  Parameters& parameters();

  // Null where it is of the other kind.
  const Transformer* transformer() const { return std::get_if<Transformer>(&model_); }
  Transformer* transformer() { return std::get_if<Transformer>(&model_); }
  const ResNet* resnet() const { return std::get_if<ResNet>(&model_); }

 private:
  std::variant<Transformer, ResNet> model_;
};

// Whether a model directory or file holds a residual network: by `model_type`, else by the names of
// its tensors.
bool HoldsResNet(const std::filesystem::path& model);

// Reads a model directory or file. Parameters become `dtype`, products are in `compute`; `config`,
// where given, receives config.json, for networks without one what it would say. Throws DataError
// and ImpossibleError.
Network LoadNetwork(const std::filesystem::path& model, at::ScalarType dtype,
                    at::ScalarType compute, arch::Json* config = nullptr);

}  // namespace orchard::nn
