// What `siamese-seg predict` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/amp.h"
#include "segment/template_choice.h"

namespace orchard::segment {

enum class Ensemble { kTokens, kLogits };
inline constexpr cli::EnumName<Ensemble> kEnsembleNames[] = {{"tokens", Ensemble::kTokens},
                                                             {"logits", Ensemble::kLogits}};
constexpr auto EnumNames(Ensemble) { return std::span(kEnsembleNames); }

enum class LabelFormat { kNifti, kDicomSeg, kLabelMapSeg };
inline constexpr cli::EnumName<LabelFormat> kLabelFormatNames[] = {
    {"nifti", LabelFormat::kNifti},
    {"dicom-seg", LabelFormat::kDicomSeg},
    {"labelmap-seg", LabelFormat::kLabelMapSeg}};
constexpr auto EnumNames(LabelFormat) { return std::span(kLabelFormatNames); }

// How a prediction is made.
struct InferenceOptions {
  TemplateSelect select = TemplateSelect::kMedoid;
  int64_t templates = 1;
  std::string fixed;
  Ensemble ensemble = Ensemble::kTokens;
  TemplateAlign align = TemplateAlign::kRelative;
  double step = 0.5;
  std::vector<int64_t> tta;
  bool largest = false;

  void Fields(cli::FieldVisitor& f) {
    f("select", select, "how templates are chosen from the model's bank");
    f("templates", templates, "templates that steer a prediction", cli::AtLeast(1));
    f("fixed", fixed, "select = fixed: id of the template");
    f("ensemble", ensemble,
      "several templates: attend to all their tokens at once, or decode with each and average");
    f("align", align,
      "part of a template for a window: at the same place of the body, the whole, or searched for");
    f("step", step, "distance of windows, of their size",
      cli::Constraint{.lower = 0.01, .upper = 1});
    f("tta", tta, "average over mirrored images along these axes: 0 left-right, 1, 2",
      cli::Between(0, 2));
    f("largest", largest, "keep only the largest component of each label");
  }
};

struct PredictOptions {
  std::filesystem::path model;
  std::vector<std::filesystem::path> inputs;
  InferenceOptions infer;
  std::vector<std::string> user_templates;  // IMAGE:LABELS
  LabelFormat format = LabelFormat::kNifti;
  std::string series;
  std::string shard = "1/1";
  Amp amp = Amp::kAuto;
  bool probs = false, overlay = false;
  std::optional<int64_t> frame;
  bool fix = false;

  void Fields(cli::FieldVisitor& f) {
    f("model", model,
      "run directory of train, its folder final, or a file of export; identity: the rounded image "
      "itself; "
      "threshold:V: 1 where the image is above V",
      cli::Required());
    f.Positional("inputs", inputs, "NIfTI files, DICOM folders, or folders of NIfTI files");
    f.Section("infer", infer);
    f("template", user_templates,
      "labelled examples in place of the model's own: IMAGE.nii.gz:LABELS.nii.gz");
    f("format", format, "NIfTI, or a DICOM segmentation of a DICOM series");
    f("series", series, "one DICOM series: UID or its end, description, or #n of inspect");
    f("amp", amp, kAmpHelp);
    f("shard", shard, "take every n-th case: 2/8 is the second of eight jobs");
    f("frame", frame, "of NIfTI files with several volumes: this one, from 0", cli::AtLeast(0));
    f("fix", fix, "take the image's smallest value for NaN and infinite ones");
    f("probs", probs, "also write ID.probs.h5: the probability of every class at every voxel");
    f("overlay", overlay, "also write ID.png: three planes through every label");
  }
};

}  // namespace orchard::segment
