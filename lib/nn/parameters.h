// The tensors of a model: each under the name it is stored by and under its role ("slot"), which is
// the same for every architecture (lib/arch). Values keep the stored layout, fused or transposed,
// so that a trained model is written back as it came.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::nn {

struct Parameter {
  std::string name;  // in the checkpoint
  std::string slot;  // e.g. "layer.3.q.weight"
  at::Tensor value;
  bool measured = false;  // a running statistic or a counter: kept with the weights, never trained
};

class Parameters {
 public:
  // Throws DataError when the slot is taken: two stored tensors play the same role.
  void Add(Parameter parameter);
  bool Has(std::string_view slot) const { return index_.contains(slot); }
  // Undefined when absent.
  at::Tensor Find(std::string_view slot) const;
  // Throws DataError naming the slot when absent.
  at::Tensor Get(std::string_view slot) const;
  const std::vector<Parameter>& all() const& { return all_; }
  const std::vector<Parameter>& all() const&& = delete;  // would outlive the object
  bool empty() const { return all_.empty(); }
  int64_t elements() const;
  void RequireGrad(bool required);  // of all but what is measured

 private:
  std::vector<Parameter> all_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace orchard::nn
