// siamese-seg render: three planes of an image with labels on them.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/png.h"
#include "run/report.h"
#include "segment/picture.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

using segment::RenderOptions;

void CheckOptions(const RenderOptions& options, const cli::Context& context) {
  const std::string ending = options.output.extension().string();
  if (ending != ".png" && ending != ".html")
    throw UsageError("neither a picture nor a page", options.output.string(), ".png or .html");
  if (!options.at.empty() && options.at.size() != 3)
    throw UsageError("--at wants three numbers", "", "e.g. --at 12,30,20");
  if (std::filesystem::exists(options.output) && !context.common.force)
    throw UsageError("the file exists", options.output.string(), "--force replaces it");
}

// A page with a picture through the middle of every label.
std::string Page(const RenderOptions& options, const segment::Picture& picture,
                 const std::map<int64_t, std::string>& names) {
  run::Report report(options.image.filename().string(), "siamese-seg render");
  report.AddFact("Window", fmt::format("{:.4g} at level {:.4g}", picture.window().width,
                                       picture.window().level));
  report.AddParagraph(
      "Axial, coronal and sagittal planes; the patient's right is on the left. Lines: --labels. "
      "Filled: "
      "--reference. Dotted lines show where the other planes cut.");
  const std::vector<int64_t> labels = picture.Labels();
  for (int64_t label : labels) {
    const auto name = names.find(label);
    const std::string text = name == names.end() ? fmt::format("label {}", label) : name->second;
    report.AddSection(text);
    report.AddPicture(io::EncodePng(picture.Through(label)), "image/png",
                      "Three planes through the middle of " + text);
  }
  if (labels.empty())
    report.AddPicture(io::EncodePng(picture.Through(0)), "image/png",
                      "Three planes through the middle");
  return report.Html();
}

int RunRender(const RenderOptions& options, const cli::Context& context) {
  CheckOptions(options, context);
  const auto names = segment::ParseNames(options.names, "--names");
  std::optional<segment::LabelMap> outlined, filled;
  if (options.labels) outlined = segment::ReadLabelMap(*options.labels);
  if (options.reference) filled = segment::ReadLabelMap(*options.reference);
  const segment::Picture picture(options.image, std::move(outlined), std::move(filled),
                                 options.view, names);
  if (context.common.dry_run) return 0;
  if (options.output.extension() == ".html") {
    WriteFileAtomically(options.output, Page(options, picture, names));
  } else {
    const io::Image planes = options.at.empty()
                                 ? picture.Through(0)
                                 : picture.At({options.at[0], options.at[1], options.at[2]});
    AtomicFile file(options.output);
    file.Write(io::EncodePng(planes));
    file.Commit();
  }
  if (context.common.json) {
    fmt::print("{}\n", Dump({{"output", options.output.string()},
                             {"labels", picture.Labels()},
                             {"level", picture.window().level},
                             {"width", picture.window().width}}));
  }
  return 0;
}

}  // namespace

void AddRender(cli::Program& program) {
  program.Add<RenderOptions>({.name = "render",
                              .summary = "draws three planes of an image with labels on them",
                              .example = "siamese-seg render image.nii.gz case.png --labels "
                                         "labels.nii.gz --names 1=liver,2=tumour"},
                             RunRender);
}

}  // namespace orchard::siamese_seg
