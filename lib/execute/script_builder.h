// Writes a TorchScript model line by line: a module whose layers are children.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "execute/input_spec.h"
#include "execute/models.h"

namespace orchard::execute {

// Every method makes a layer of that name and the line `result = self.name.forward(x)`, and returns
// `result`. Weights are uniform with variance gain / fan_in, functions of the seed.
class ScriptBuilder {
 public:
  explicit ScriptBuilder(uint64_t seed);
  ~ScriptBuilder();

  std::string Linear(const std::string& name, const std::string& x, int64_t in, int64_t out,
                     bool bias = true);
  // Convolution without bias, batch normalisation with running statistics, ReLU.
  std::string ConvNormRelu(const std::string& name, const std::string& x, int64_t in, int64_t out,
                           int64_t height, int64_t width, int64_t stride, int64_t pad_height,
                           int64_t pad_width);
  std::string Norm(const std::string& name, const std::string& x, int64_t width);
  std::string Embedding(const std::string& name, const std::string& ids, int64_t rows,
                        int64_t width);

  // A layer for several lines: `code` is the body of its forward(self, arguments), `shapes` its
  // parameters with their fan-in.
  struct Shape {
    std::string name;
    std::vector<int64_t> dims;
    int64_t fan_in = 1;
  };
  void AddLayer(const std::string& name, const std::string& arguments, const std::string& code,
                const std::vector<Shape>& shapes);

  void AddBuffer(const std::string& name, const at::Tensor& value);
  std::string Line(const std::string& expression);

  // Writes the model with the shapes of its inputs.
  ModelFacts Save(const std::filesystem::path& path, const std::vector<std::string>& arguments,
                  const std::string& returned, const std::vector<InputSpec>& inputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::execute
