// How a prediction is made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/template_choice.h"

namespace orchard::segment {

enum class Ensemble { kTokens, kLogits };
inline constexpr cli::EnumName<Ensemble> kEnsembleNames[] = {{"tokens", Ensemble::kTokens},
                                                             {"logits", Ensemble::kLogits}};
constexpr auto EnumNames(Ensemble) { return std::span(kEnsembleNames); }

// Whose answer counts: the decoder's, or that of the similarities at the finest fused stage alone.
enum class Decode { kNetwork, kAttention };
inline constexpr cli::EnumName<Decode> kDecodeNames[] = {{"network", Decode::kNetwork},
                                                         {"attention", Decode::kAttention}};
constexpr auto EnumNames(Decode) { return std::span(kDecodeNames); }

struct InferenceOptions {
  TemplateSelect select = TemplateSelect::kMedoid;
  int64_t templates = 1;
  std::string fixed;
  Ensemble ensemble = Ensemble::kTokens;
  Decode decode = Decode::kNetwork;
  TemplateAlign align = TemplateAlign::kRelative;
  double step = 0.5;
  std::vector<int64_t> tta;
  bool largest = false;
  int64_t token_memory = 512'000'000;
  int64_t class_block = 8;
  std::optional<bool> late_head;

  void Fields(cli::FieldVisitor& f) {
    f("select", select, "how templates are chosen from the model's bank");
    f("templates", templates, "templates that steer a prediction", cli::AtLeast(1));
    f("fixed", fixed, "select = fixed: id of the template");
    f("ensemble", ensemble,
      "several templates: attend to all their tokens at once, or decode with each and average");
    f("decode", decode,
      "labels by the decoder, or by the similarities to the template alone, on its coarser grid");
    f("align", align,
      "part of a template for a window: at the same place of the body, the whole, or searched for");
    f("step", step, "distance of windows, of their size",
      cli::Constraint{.lower = 0.01, .upper = 1});
    f("tta", tta, "average over mirrored images along these axes: 0 left-right, 1, 2",
      cli::Between(0, 2));
    f("largest", largest, "keep only the largest component of each label");
    f("token_memory", token_memory, "bytes for encoded templates; others are encoded again",
      cli::Bytes());
    f("class_block", class_block, "mode in_context: classes that are decoded at once",
      cli::AtLeast(1));
    f("late_head", late_head,
      "sum the decoder's features over windows, and make logits of the sums (default: where "
      "classes are more than its channels)");
  }
};

}  // namespace orchard::segment
