// What is known of each type of operator: the shapes it makes, the arithmetic it does, and how it
// touches memory. One table per family of operators; source: the ONNX operator specifications.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "place/onnx/op_call.h"

namespace orchard::place::onnx {

enum RuleFlag : uint8_t {
  kView = 1,          // the output is the input under another shape: no time, no traffic
  kDense = 2,         // products and sums: backward is two of them
  kReadsPart = 4,     // reads of its first input only what it puts out
  kSavesInputs = 8,   // backward needs the inputs
  kSavesOutput = 16,  // backward needs the output
  kEveryRun = 32      // not computed at load time even where the inputs are constant
};

struct OpRule {
  const char* name;
  // Sets outputs as far as they follow from the inputs. Throws DataError when those are
  // contradictory.
  void (*infer)(OpCall&);
  // Of one execution with complete shapes; a multiplication and an addition are two.
  double (*flops)(const OpCall&);
  uint8_t flags = 0;
};

std::span<const OpRule> ElementwiseRules();
std::span<const OpRule> NormalizationRules();
std::span<const OpRule> LayoutRules();    // reshaping, joining, cutting
std::span<const OpRule> IndexingRules();  // gathering, scattering, sorting, selecting
std::span<const OpRule> SourceRules();    // constants, ranges, random numbers, shapes as values
std::span<const OpRule> WindowRules();    // convolutions, pooling, resizing
std::span<const OpRule> ProductRules();   // products of matrices, Einsum
std::span<const OpRule> RecurrentRules();
std::span<const OpRule> AttentionRules();
std::span<const OpRule> ReductionRules();
std::span<const OpRule> QuantizationRules();
std::span<const OpRule> MicrosoftRules();  // ONNX Runtime's own domain, com.microsoft

// The rule of a node's type; nullptr when there is none.
const OpRule* FindRule(const Node& node);

// Arithmetic as so many operations per element of output 0, or of input 0.
double OutputElements(const OpCall& call);
double InputElements(const OpCall& call);
template <int kOperations>
double PerOutput(const OpCall& call) {
  return kOperations * OutputElements(call);
}
template <int kOperations>
double PerInput(const OpCall& call) {
  return kOperations * InputElements(call);
}

// Output 0 like input 0.
void SameAsInput(OpCall& call);
// Numbers of output 0 from those of the inputs, where they are known and the operator is one of
// those that exporters compute shapes with.
void FoldElementwise(OpCall& call);

}  // namespace orchard::place::onnx
