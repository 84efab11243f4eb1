// What lemon_expand.json of an expanded model says about how it came about.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "expand/axis_map.h"
#include "expand/depth.h"
#include "expand/plan.h"

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

// How the model came about: by which method, and which of its layers are new.
struct GrowthAccount {
  std::string method;
  std::vector<bool> new_layers;          // one per layer, or block of a residual network
  std::vector<std::string> layer_names;  // their slots begin with it and a dot: "layer.3"
};

// Of the model's last expansion; nothing where no lemon_expand.json is beside it. Throws DataError
// for a damaged file.
std::optional<GrowthAccount> ReadGrowthAccount(const std::filesystem::path& model);

// The copy maps of a Transformer's last expansion, without that of the MLM transform; nothing where
// no lemon_expand.json is beside it. Throws DataError for a damaged file.
std::optional<AxisMaps> ReadCopyMaps(const std::filesystem::path& model);

}  // namespace orchard::expand
