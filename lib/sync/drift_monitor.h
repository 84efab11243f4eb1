// Watches how the averaged model does beside the ranks' own ones, and says what helps.
#pragma once

#include <string>
#include <vector>

namespace orchard::sync {

class DriftMonitor {
 public:
  //   limit           drift that is warned of
  //   own_statistics  whether norms are evaluated with statistics of each rank's own model
  DriftMonitor(double limit, bool own_statistics)
      : limit_(limit), own_statistics_(own_statistics) {}

  // What to say after an evaluation; each thing once.
  //   loss   of training, at the ranks' models
  //   top1   of the averaged model
  //   drift  |x_i - mean| / |mean|
  std::vector<std::string> After(double loss, double top1, double drift);

 private:
  double limit_;
  bool own_statistics_;
  double best_top1_ = -1, loss_at_best_ = 0;
  int evaluations_since_ = 0;
  bool said_drift_ = false, said_statistics_ = false, said_stuck_ = false;
};

}  // namespace orchard::sync
