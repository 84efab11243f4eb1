#include "segment/user_templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/logging.h"

namespace orchard::segment {

std::vector<CaseFiles> ParseTemplates(const std::vector<std::string>& templates) {
  std::vector<CaseFiles> cases;
  for (const std::string& text : templates) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) {
      throw UsageError("an image and its labels are wanted: '" + text + "'", "--template",
                       "IMAGE.nii.gz:LABELS.nii.gz");
    }
    CaseFiles files;
    for (size_t begin = 0; begin <= colon;) {
      const size_t end = std::min(text.find('+', begin), colon);
      files.images.emplace_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    files.labels = text.substr(colon + 1);
    files.id = CaseId(files.images.front());
    files.subject = files.id;
    cases.push_back(std::move(files));
  }
  return cases;
}

TemplateBank LoadTemplates(std::span<const CaseFiles> files, Plan plan, bool any_labels,
                           int threads) {
  if (any_labels) plan.labels = NumberedLabels(255);
  std::vector<PreparedCase> cases = LoadCases(files, plan, threads);
  int64_t most = 0;
  std::vector<std::string> absent;
  for (const LabelName& label : plan.labels) {
    const bool present = std::any_of(cases.begin(), cases.end(),
                                     [&](const PreparedCase& c) { return c.Has(label.value); });
    if (present) most = label.value;
    if (!present && !any_labels) absent.push_back(label.name);
  }
  if (most == 0) throw DataError("no template has a label", files.front().labels.string());
  for (const std::string& name : absent) LogWarning("no template has label " + name);
  if (any_labels) {
    for (PreparedCase& c : cases) c.foreground.resize(static_cast<size_t>(most));
    plan.labels = NumberedLabels(most);
  }
  return MakeBank(std::move(cases), plan.labels, 0);
}

void NameLabels(std::vector<LabelName>& labels, const std::vector<std::string>& names) {
  for (const std::string& text : names) {
    const size_t equals = text.find('=');
    int64_t label = 0;
    const char* const end = text.data() + std::min(equals, text.size());
    const auto [at, error] = std::from_chars(text.data(), end, label);
    const bool reads = equals != std::string::npos && error == std::errc() && at == end;
    if (!reads || equals + 1 == text.size())
      throw UsageError("not a label and its name: '" + text + "'", "--names", "e.g. 1=liver");
    if (label < 1 || label > std::ssize(labels))
      throw UsageError(fmt::format("there is no label {}", label), "--names",
                       fmt::format("labels are 1 to {}", labels.size()));
    labels[static_cast<size_t>(label - 1)].name = text.substr(equals + 1);
  }
}

}  // namespace orchard::segment
