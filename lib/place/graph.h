// The dataflow graph of a model: operators with their time and memory, and the tensors that flow
// between them. Integer-indexed; edges lie in memory by producer. Notation and conventions:
// docs/methods/baechi-place.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace orchard::place {

// One operator. Times in microseconds, sizes in bytes.
struct Op {
  std::string name;
  std::string type;
  double us = 0;              // one execution on a device of speed 1
  std::vector<double> us_on;  // on each device, where they differ in more than speed; may be empty
  std::optional<double> bwd_us;  // of its backward pass
  std::optional<double>
      update_us;                // of one step of SGD on its parameters; absent: from their bytes
  int64_t perm = 0;             // parameters and other state, alive all the time
  bool perm_is_output = false;  // the parameters are the outputs: held once, not twice
  int64_t temp = 0;             // scratch, alive while the operator runs
  std::vector<int64_t> out;     // bytes of each output port
  std::vector<uint8_t> saved;   // per port: kept for the backward pass; empty: all
  std::vector<std::string> groups;  // members of a group share a device
  int32_t expert = -1;              // device chosen by a person; -1: none
};

// What an edge carries. A tensor is sent at most once to each device.
struct Tensor {
  int32_t producer = 0;
  int32_t port = -1;  // of the producer's `out`; -1: control, or a tensor of its own
  bool control = false;
  int64_t bytes = 0;
  double us = -1;  // stated cost of sending it, which overrides the link; negative: by the link
};

struct Edge {
  int32_t src = 0, dst = 0;
};

// Whether `perm` of an operator is also counted in its outputs (a TensorFlow variable is).
enum class PersistentMemory { kSeparate, kInOutputs };

struct StepOrigin;

// A directed acyclic graph. Made by GraphBuilder, and constant afterwards.
struct Graph {
  std::string name;
  std::string cost_source;  // where the times come from, where the file says so
  PersistentMemory persistent_memory = PersistentMemory::kSeparate;
  int32_t devices_hint = 0;  // of workload files that say how many devices they are for
  int64_t memory_hint = 0;   // ... and how large each is
  std::vector<Op> ops;       // in file order
  std::vector<Tensor> tensors;
  std::vector<std::string> tensor_names;

  std::vector<Edge> edges;            // by producer, then as they came
  std::vector<int32_t> edge_tensors;  // of edge e: [tensor_begin[e], tensor_begin[e + 1])
  std::vector<int32_t> tensor_begin;
  std::vector<int32_t> out_begin;  // edges of op i: [out_begin[i], out_begin[i + 1])
  std::vector<int32_t> in_edges;   // edges into op i: in_edges[in_begin[i] ..), by producer
  std::vector<int32_t> in_begin;

  // Of the graph of a training step: what it was made from (training_step.h); else nothing.
  std::shared_ptr<const StepOrigin> step;

  int32_t size() const { return static_cast<int32_t>(ops.size()); }
  std::span<const int32_t> TensorsOf(int32_t edge) const {
    return std::span(edge_tensors)
        .subspan(tensor_begin[edge], tensor_begin[edge + 1] - tensor_begin[edge]);
  }
  std::span<const int32_t> InEdges(int32_t op) const {
    return std::span(in_edges).subspan(in_begin[op], in_begin[op + 1] - in_begin[op]);
  }
  int32_t OutDegree(int32_t op) const { return out_begin[op + 1] - out_begin[op]; }
};

// SHA-256 over names, sizes, times and edges: which graph a placement belongs to.
std::string GraphHash(const Graph& graph);

// Collects operators and edges in any order. `source` names the file in errors; a place such as
// "edges[3]" is given with every call.
class GraphBuilder {
 public:
  explicit GraphBuilder(std::string source) : source_(std::move(source)) {}

  // Throws DataError: no name, a name twice, text that is not UTF-8, a time that is negative or not
  // finite, a negative size.
  int32_t AddOp(Op op, const std::string& place);

  // Operator by name, or by place throws DataError.
  int32_t Find(std::string_view name, const std::string& place) const;

  // One use of a tensor of `src` by `dst`. Several uses of one tensor by one consumer are one.
  // Throws DataError: an edge from an operator to itself, a size or cost that is negative, not
  // finite or another one than this tensor had before, a port that the producer does not have.
  void AddUse(int32_t src, int32_t dst, const std::string& tensor, double bytes, double us,
              const std::string& place);

  // Throws DataError: no operators, a cycle (prints one), times or sizes whose sums overflow.
  Graph Build();

  Graph graph;  // name and conventions; operators are added above

 private:
  struct Use {
    int32_t src, dst, tensor;
  };
  std::string Where(const std::string& place) const;
  void SortEdges();
  void CheckAcyclic() const;
  void CheckSums() const;

  std::string source_;
  std::unordered_map<std::string, int32_t> op_of_;
  std::unordered_map<std::string, int32_t> tensor_of_;  // "producer index/name"
  std::vector<Use> uses_;
};

}  // namespace orchard::place
