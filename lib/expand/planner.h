// Finds sizes near a parameter count that an architecture can be grown to without loss.
#pragma once

#include <cstdint>
#include <vector>

#include "expand/plan.h"

namespace orchard::expand {

struct Candidate {
  Sizes sizes;
  int64_t parameters = 0, bytes = 0;
  double flops_per_token = 0;  // 6 N + 12 L D T for training, N without embeddings
  Exactness exactness = Exactness::kExact;
  bool whole_copies = true;  // the residual stream has no padding
  bool power_of_two = true;  // and the number of its copies is a power of two
};

// Parameters, bytes and cost of a model of these sizes with the tensors of `source`, without
// planning every tensor.
class SizeModel {
 public:
  explicit SizeModel(const SourceModel& source);
  Candidate Describe(const Sizes& sizes, int64_t context) const;

 private:
  struct Term {
    std::vector<std::string> axes;
    std::vector<int64_t> extents;  // of the source, per axis
    bool per_layer = false, embedding = false;
    double count = 1;  // tensors of this kind (per layer)
    int64_t element_bytes = 4;
  };
  const SourceModel& source_;
  std::vector<Term> terms_;
};

struct PlannerOptions {
  int64_t target_parameters = 0;
  int64_t context = 1024;  // tokens, for the cost
  int64_t best = 5;
};

// The best candidates: closest in parameters (to within 1 %), then without padding and with a power
// of two of copies, then with the fewest new layers. Hidden is a multiple of head_dim (of 64 where
// the source's is) up to four times the source's, heads and hidden units keep the source's
// proportions, layers at most double. Throws UsageError when the target is smaller than the source.
std::vector<Candidate> PlanSizes(const SourceModel& source, const MethodOptions& method,
                                 const PlannerOptions& options);

}  // namespace orchard::expand
