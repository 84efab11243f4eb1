// Example inputs as a user writes them: 8x3x224x224, 8x3x224x224/f16, 8x40/i64:30000.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace orchard::execute {

struct InputSpec {
  std::vector<int64_t> shape;
  std::string dtype = "f32";  // f32 f64 f16 bf16 i64 i32 bool
  int64_t classes = 2;        // integers are drawn from [0, classes)
};

// Throws UsageError: not SHAPE[/DTYPE[:CLASSES]], or more than 2^40 elements.
InputSpec ParseInputSpec(const std::string& text);
std::string ToText(const InputSpec& spec);

// Standard normal or uniform integer values on the CPU, a function of (seed, index).
at::Tensor MakeInput(const InputSpec& spec, uint64_t seed, int64_t index);

}  // namespace orchard::execute
