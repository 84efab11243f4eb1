// The tensors of a source model, each with the row of the architecture's table that it matches.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "arch/architecture.h"
#include "expand/plan.h"

namespace orchard::expand {

class SourceTensors {
 public:
  // `tied_head`: a stored head is a second copy of the embedding table and is left out; so are
  // buffers that the model rebuilds. Throws DataError for tensors that the table does not know, or
  // lacks.
  SourceTensors(const SourceModel& source, bool tied_head);

  const std::vector<std::pair<const io::TensorInfo*, arch::Match>>& all() const { return matches_; }
  // The tensor in a slot, nullptr when absent.
  const io::TensorInfo* InSlot(const std::string& slot) const;
  // Name of the tensor that plays in `layer` the role of `match`. Throws DataError when absent.
  std::string NameInLayer(const arch::Match& match, int64_t layer) const;

 private:
  void CheckComplete() const;

  const SourceModel& source_;
  std::vector<std::pair<const io::TensorInfo*, arch::Match>> matches_;
  std::map<std::string, const io::TensorInfo*> by_slot_;
};

// Role of a slot: without "layer.{i}." and the ".weight" or ".bias" at its end: "q", "attn_norm",
// "expert.{e}.down".
std::string RoleOf(const arch::Match& match);

}  // namespace orchard::expand
