// What lemon_expand.json of an expanded model says about how it came about.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "expand/axis_map.h"
#include "expand/depth.h"

namespace orchard::expand {

struct Provenance {
  bool known = false;           // lemon_expand.json is there and promises the source's function
  std::string exactness = "?";  // class A, A', B or C
  AxisMap residual;
  bool mean_padding =
      false;  // padding of the residual stream holds the mean of its copies; else zero
  bool post_norm = false;
  std::vector<LayerPlan> layers;
  double epsilon = 0;  // of the norms, before
};

// Without lemon_expand.json the layers are taken one to one and only outputs can be compared.
// Throws DataError where the file does not fit the model beside it.
Provenance ReadProvenance(const std::filesystem::path& model,
                          const arch::Architecture& architecture, int64_t source_layers,
                          int64_t target_layers, int64_t source_hidden, int64_t target_hidden);

struct ResNetProvenance {
  bool known = false;  // as above
  std::string exactness = "?";
  std::map<std::string, AxisMap> maps;  // by axis: S, C1 to C4, I1 to I4
  std::vector<LayerPlan> layers;        // blocks, numbered over all stages
  double epsilon = 0;
};

// The same for a residual network. Throws DataError likewise.
ResNetProvenance ReadResNetProvenance(const std::filesystem::path& model,
                                      const arch::ResNetShape& source,
                                      const arch::ResNetShape& target);

}  // namespace orchard::expand
