// A model on disk: a Hugging Face directory (config.json beside safetensors), its architecture
// table, and its forward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "arch/architecture.h"
#include "io/safetensors.h"
#include "nn/parameters.h"
#include "nn/transformer.h"
#include "nn/transformer_config.h"

namespace orchard::nn {

struct LoadOptions {
  std::optional<at::ScalarType> dtype;  // of the loaded values; unset: as stored
  std::optional<int64_t> layer;         // only this layer; -1: only what stands outside the layers
  bool requires_grad = false;
};

class ModelDirectory {
 public:
  // Reads config.json and opens the checkpoint, a directory or a file; loads no tensor.
  // `architecture`, which must outlive this object: the table to use, where null that of
  // `model_type`, or `timm_vit` where the tensors have timm's names. Throws DataError (file, key,
  // tensor) and ImpossibleError (unknown model type, unsupported setting).
  static ModelDirectory Open(const std::filesystem::path& model,
                             const arch::Architecture* architecture = nullptr);
  ModelDirectory(ModelDirectory&&) noexcept;
  ~ModelDirectory();

  const arch::Json& json() const { return *json_; }
  const arch::Architecture& architecture() const { return *architecture_; }
  const TransformerConfig& config() const { return config_; }
  const io::Checkpoint& checkpoint() const { return checkpoint_; }

  // Throws DataError listing the names that the architecture's table does not know. Buffers that a
  // model rebuilds and copies of tied tensors are left out.
  Parameters Load(const LoadOptions& options) const;

  // The whole model with parameters and products in `dtype`.
  Transformer LoadTransformer(at::ScalarType dtype, bool requires_grad = false) const;

 private:
  ModelDirectory(std::unique_ptr<arch::Json> json, const arch::Architecture& architecture,
                 TransformerConfig config, io::Checkpoint checkpoint);

  std::unique_ptr<arch::Json> json_;
  const arch::Architecture* architecture_;
  TransformerConfig config_;
  io::Checkpoint checkpoint_;
};

// Writes config.json and model.safetensors into `directory` (made if missing), each whole or not at
// all. Values are stored as `dtype`, or in their own when unset. Throws ResourceError.
void SaveModel(const std::filesystem::path& directory, const arch::Json& config,
               const Parameters& parameters, std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace orchard::nn
