// Texts with labels, as GLUE tasks have them: one or two texts and a class or a score.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace orchard::data {

struct LabelledTextOptions {
  std::string text_a = "text_a";  // column names
  std::string text_b = "text_b";  // may be absent from the file
  std::string label = "label";
  bool regression = false;  // labels are numbers, not classes
};

struct LabelledText {
  std::string text_a, text_b;
  int32_t label = 0;  // class
  double score = 0;   // regression
};

struct LabelledTexts {
  std::vector<LabelledText> examples;
  bool pairs = false;  // whether there is a second text
  std::vector<std::string>
      label_names;  // of the classes: numbers in numeric order, else names in order of bytes
};

// Reads .csv (RFC 4180: quotes, line breaks in quotes), .tsv (tabs, no quotes) or .jsonl (one
// object per line) by the file name's ending; a table's first line names its columns. Throws
// DataError that names the line.
LabelledTexts ReadLabelledTexts(const std::filesystem::path& path,
                                const LabelledTextOptions& options = {});

}  // namespace orchard::data
