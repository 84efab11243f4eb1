// A model written down layer by layer becomes a graph with analytic costs: arithmetic and memory
// traffic give times, shapes give bytes, and what each kernel needs for its backward pass says
// which outputs are saved.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "place/analytic_cost.h"
#include "place/graph.h"
#include "place/models/model_options.h"

namespace orchard::place {

using Dims = std::vector<int64_t>;
int64_t Elements(const Dims& dims);

// An output of a kernel: float32 of these dimensions.
struct Value {
  int32_t kernel = -1;
  int32_t port = 0;
  Dims dims;
  int64_t elements() const { return Elements(dims); }
};

// One kernel. Parameters and outputs are float32.
struct Kernel {
  std::string name;  // within its scope
  std::string type;
  double flops = 0;        // of the forward pass; a multiplication and an addition are two
  int64_t parameters = 0;  // elements that it owns
  std::vector<Dims> outputs;
  int64_t traffic = -1;  // bytes read and written; negative: inputs, outputs and parameters
  bool dense = false;    // two products in the backward pass for one in the forward pass
  bool keeps_inputs = false, keeps_outputs = false;  // for its backward pass
  int64_t kept = 0;                                  // bytes that it keeps besides
  int64_t temp = 0;                                  // bytes of scratch
};

// Where following kernels belong. A scope names them, and may say more.
struct ScopeOptions {
  std::string group;       // they share a device; empty: as outside
  int32_t expert = -1;     // device chosen by a person; -1: as outside
  std::string block_type;  // they are one operator of this type at Level::kLayer
};

struct Model {
  Graph graph;
  double flops = 0;        // of the forward pass
  double dense_flops = 0;  // of those, in convolutions and matrix products
  int64_t parameters = 0;  // float32 elements
};

class ModelBuilder {
 public:
  // `name` becomes the graph's. Throws UsageError for an unknown preset.
  ModelBuilder(std::string name, const ModelOptions& options);

  // Opens a scope for as long as it lives.
  class Scope {
   public:
    Scope(ModelBuilder& builder, const std::string& name, const ScopeOptions& options = {});
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    ModelBuilder& builder_;
  };

  // All outputs of a kernel.
  std::vector<Value> AddAll(const Kernel& kernel, const std::vector<Value>& inputs);
  // Of a kernel with one output.
  Value Add(const Kernel& kernel, const std::vector<Value>& inputs);
  // What is there before the step: an input, a first state. Takes no time.
  Value Source(const std::string& name, const std::string& type, const Dims& dims);
  // Parameters that several kernels read: an operator of its own, whose output is its parameters. A
  // model with variables has no kernels that own parameters.
  Value Variable(const std::string& name, const Dims& dims);

  Model Build();

 private:
  struct Node {
    Kernel kernel;
    std::vector<Value> inputs;
    std::string path;
    double us = 0, bwd_us = 0;
    int32_t block = -1, expert = -1;
    std::string group;
    bool is_source = false;
  };
  struct OpenScope {
    size_t path_size;
    std::string group;
    int32_t expert, block;
  };
  struct Block {
    std::string path, type;
  };
  struct Unit;

  std::vector<std::vector<uint8_t>> SavedPorts() const;
  std::vector<Unit> MakeUnits(std::vector<int32_t>& unit_of) const;
  void FindPorts(std::vector<Unit>& units, const std::vector<int32_t>& unit_of);
  void AddOps(const std::vector<Unit>& units);

  GraphBuilder builder_;
  const DevicePreset& preset_;
  Level level_;
  std::vector<Node> nodes_;
  std::vector<Block> blocks_;
  std::vector<OpenScope> scopes_;
  std::string path_;
  bool has_variables_ = false, owns_parameters_ = false;
};

}  // namespace orchard::place
