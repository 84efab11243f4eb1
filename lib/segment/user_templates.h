// Labelled examples that a user brings: files, prepared as a model's own templates are.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "segment/template_bank.h"

namespace orchard::segment {

// "IMAGE.nii.gz:LABELS.nii.gz" of each, the channels of an image separated by '+'. The id is the
// image's name. Throws UsageError naming --template.
std::vector<CaseFiles> ParseTemplates(const std::vector<std::string>& templates);

// Reads them. With `any_labels` their labels may be 1 to 255 and become the bank's, else they are
// the plan's. Warns of a label of the plan that none has. Throws DataError where none has any, and
// as LoadCase.
TemplateBank LoadTemplates(std::span<const CaseFiles> files, Plan plan, bool any_labels,
                           int threads);

// Puts names to labels 1, 2, ...: "1=liver". Throws UsageError for one that is not among them.
void NameLabels(std::vector<LabelName>& labels, const std::vector<std::string>& names);

}  // namespace orchard::segment
