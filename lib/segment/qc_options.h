// What `siamese-seg qc` can be told.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "cli/fields.h"
#include "segment/predict_options.h"
#include "segment/quality.h"

namespace orchard::segment {

struct QcOptions {
  std::filesystem::path images, pred, model;
  std::optional<std::filesystem::path> ref, template_set;
  QualityOptions quality;
  InferenceOptions infer;
  int64_t pictures = 12;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("images", images, "folder of the images, or one: NIfTI files");
    f("pred", pred, "folder of their label maps, or one", cli::Required());
    f("model", model, "run directory of train or its folder final", cli::Required());
    f("ref", ref, "true label maps: says how far the estimates can be believed");
    f("template_set", template_set, "a bank of siamese-seg templates in place of the model's own");
    f.Section("quality", quality);
    f.Section("infer", infer);
    f("pictures", pictures, "cases with a picture in the report, the most doubtful first",
      cli::AtLeast(0));
  }
};

}  // namespace orchard::segment
