// How good a segmentation is, without a reference.
//
// Reverse classification accuracy: a label map that is right is a good template. So it steers the
// segmentation of labelled cases, and the best Dice that is reached on one of them predicts the
// Dice of the label map itself. Source: Valindria et al., Reverse Classification Accuracy, IEEE TMI
// 2017. Agreement: templates that see the same thing in an image are more often right than ones
// that do not.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "segment/prepared_case.h"
#include "segment/quality_options.h"

namespace orchard {
class ThreadPool;
}

namespace orchard::segment {

class TemplateNetwork;
struct TemplateBank;

// Of one class of one label map. NaN: not defined (the class is in neither).
struct ClassQuality {
  int64_t label = 0;
  int64_t voxels = 0;         // at the plan's spacing
  double predicted_dice = 0;  // the best Dice of the reverse segmentations
  double reverse_mean = 0;    // their mean
  std::string best_case;      // where the best was reached
  double agreement = 0;       // mean Dice of the witnesses with each other
  double support = 0;         // mean Dice of the witnesses with the label map
  bool flagged = false;       // support, or predicted_dice where that has a limit, is below it or
                              // not defined
};

struct CaseQuality {
  std::string id;
  std::vector<ClassQuality> classes;
  std::vector<std::string> witnesses, reverse_cases;
  // Part of the witnesses that do not say what most of them say, of each voxel of the prepared
  // image.
  std::vector<float> disagreement;
  double mean_disagreement = 0;  // where a witness sees a class
  double seconds = 0;

  bool flagged() const;
};

// `labels` of `c` are the label map in question. Cases of its subject are not used. Throws
// UsageError where the bank has no case of another subject.
CaseQuality AssessQuality(const TemplateNetwork& network, const TemplateBank& bank,
                          const InferenceOptions& infer, const QualityOptions& options,
                          PreparedCase c, uint64_t seed, ThreadPool& pool);

}  // namespace orchard::segment
