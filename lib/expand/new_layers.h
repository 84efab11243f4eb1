// What becomes of the tensors of a new Transformer layer, so that it changes nothing, and of the
// layer before it.
#pragma once

#include <string>

#include "expand/plan.h"
#include "expand/sizes.h"
#include "expand/source_tensors.h"

namespace orchard::expand {

// Roles of the maps that end a sub-block and write into the residual stream.
bool WritesResidual(const std::string& role);

class NewLayers {
 public:
  // `plan` must have its layers and sizes. `cancel`: new output maps are parts that cancel over the
  // copies of a unit; else zero.
  NewLayers(const SourceModel& source, const Plan& plan, const Recipe& recipe,
            const SourceTensors& tensors, bool cancel)
      : a_(source.architecture), plan_(plan), recipe_(recipe), tensors_(tensors), cancel_(cancel) {}

  // Edits the op of a tensor of target layer `target_layer`.
  void Apply(const arch::Match& match, int64_t target_layer, TensorOp& op) const;

  // Rows beyond the first copy come from the layer after: source units n.. stand for the second
  // source's.
  void TakeNewRowsFromNext(const arch::Match& match, const LayerPlan& layer, TensorOp& op) const;

 private:
  void ApplyPostNorm(const arch::Match& match, const std::string& role, int64_t target_layer,
                     TensorOp& op) const;

  const arch::Architecture& a_;
  const Plan& plan_;
  const Recipe& recipe_;
  const SourceTensors& tensors_;
  bool cancel_;
};

}  // namespace orchard::expand
