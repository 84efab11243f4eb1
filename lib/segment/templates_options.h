// What `siamese-seg templates` can be told.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/template_choice.h"

namespace orchard::segment {

enum class TemplatesAction { kBuild, kList, kSelect };
inline constexpr cli::EnumName<TemplatesAction> kTemplatesActionNames[] = {
    {"build", TemplatesAction::kBuild},
    {"list", TemplatesAction::kList},
    {"select", TemplatesAction::kSelect}};
constexpr auto EnumNames(TemplatesAction) { return std::span(kTemplatesActionNames); }

struct TemplatesOptions {
  TemplatesAction action = TemplatesAction::kList;
  std::filesystem::path bank, model;
  std::optional<std::filesystem::path> data, image, cache;
  std::vector<std::string> user_templates, names;
  int64_t limit = 0;
  bool encode = true;
  TemplateSelect select = TemplateSelect::kNearest;
  int64_t templates = 8;
  std::string fixed, subject;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("action", action, "build, list or select");
    f.Positional("bank", bank, "the bank, an HDF5 file");
    f("model", model, "run directory of train or its folder final", cli::Required());
    f("data", data, "build: every labelled case of this data set");
    f("template", user_templates, "build: these, IMAGE.nii.gz:LABELS.nii.gz");
    f("names", names, "build, mode in_context: names of labels: 1=liver,2=spleen");
    f("limit", limit, "build: keep so many, the best medoids (0: all)", cli::AtLeast(0));
    f("encode", encode, "build: encode the templates now; else predictions do");
    f("cache", cache, "folder of encoded templates (default: BANK.tokens)");
    f("image", image, "select: the image to choose templates for");
    f("select", select, "select: how they are chosen");
    f("templates", templates, "select: how many", cli::AtLeast(1));
    f("fixed", fixed, "select = fixed: id of the template");
    f("subject", subject, "select: the image's subject, whose templates do not count");
  }
};

}  // namespace orchard::segment
