// Small models of any family, made from its architecture table, and their tensors read back as
// doubles.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "expand/plan.h"
#include "io/safetensors.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {

// A tensor by value, in f64.
struct TinyTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> values;
};

// Near-normal values of standard deviation 0.3, different for every name.
std::vector<double> TinyValues(const std::string& name, int64_t count);

// One safetensors file with these tensors, rounded to `dtype`.
void WriteTensors(const std::filesystem::path& path, const std::vector<TinyTensor>& tensors,
                  io::DType dtype);

// Values of a stored tensor of any float type.
std::vector<double> ReadValues(const io::Checkpoint& checkpoint, const std::string& name);

// A Hugging Face directory with every tensor that the table of config["model_type"] requires, and
// all its optional biases. `without` and `with` leave out and add tensors.
void WriteTinyModel(const std::filesystem::path& directory, const Json& config, io::DType dtype,
                    const std::string& without = "", const std::vector<TinyTensor>& with = {});

// Configurations of a few families; sizes may be edited.
Json TinyGpt2();   // width 4 x 2, 2 layers, LayerNorm, tied head
Json TinyLlama();  // width 4 x 2, 2 key-value heads, 2 layers, RMSNorm, head of its own
Json TinyBert();   // width 4 x 2, 2 layers, Post-LN

// Runs one op of a plan on its source; block by block of `units` where given.
std::vector<std::byte> RunOp(const io::Checkpoint& source, const TensorOp& op, uint64_t seed = 0,
                             int64_t units = 0);
std::vector<double> RunValues(const io::Checkpoint& source, const TensorOp& op, uint64_t seed = 0);

const TensorOp& FindOp(const Plan& plan, const std::string& name);

// A model that `write` puts into a directory of its own, opened, and what growing it gives.
struct TinySource {
  explicit TinySource(const std::function<void(const std::filesystem::path&)>& write);

  Plan Grow(const TargetOptions& target, const MethodOptions& method = {}) const;
  std::vector<double> Values(const Plan& plan, const std::string& name) const;
  std::vector<double> Source(const std::string& name) const;

  orchard::testing::ScratchDir scratch;
  std::optional<SourceModel> model;
};

// One of WriteTinyModel.
struct TinyTransformer : TinySource {
  explicit TinyTransformer(const Json& config, io::DType dtype = io::DType::kF64);
};

// All defaults but the method.
MethodOptions With(Method method);

}  // namespace orchard::expand
