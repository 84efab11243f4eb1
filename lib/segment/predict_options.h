// What `siamese-seg predict` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/amp.h"
#include "segment/inference_options.h"
#include "segment/quality_options.h"
#include "segment/tune_options.h"

namespace orchard::segment {

enum class LabelFormat { kNifti, kDicomSeg, kLabelMapSeg };
inline constexpr cli::EnumName<LabelFormat> kLabelFormatNames[] = {
    {"nifti", LabelFormat::kNifti},
    {"dicom-seg", LabelFormat::kDicomSeg},
    {"labelmap-seg", LabelFormat::kLabelMapSeg}};
constexpr auto EnumNames(LabelFormat) { return std::span(kLabelFormatNames); }

struct PredictOptions {
  std::filesystem::path model;
  std::vector<std::filesystem::path> inputs;
  InferenceOptions infer;
  std::vector<std::string> user_templates;  // IMAGE:LABELS
  std::vector<std::string> names;
  std::optional<std::filesystem::path> template_set, cache;
  TuneOptions tune;
  bool qc = false, correspondences = false;
  QualityOptions quality;
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
    f("template_set", template_set, "a bank of siamese-seg templates in place of the model's own");
    f("cache", cache,
      "folder for encoded templates (default: BANK.tokens of --template-set, else none)");
    f("names", names, "names of labels, in place of the model's: 1=liver,2=spleen");
    tune.Fields(f);
    f("qc", qc, "estimate the quality of each label map, as siamese-seg qc: qc.html, ID_qc.json");
    f("correspondences", correspondences,
      "which part of a template answered: attention.html, ID_correspondence.h5");
    f.Section("quality", quality);
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
