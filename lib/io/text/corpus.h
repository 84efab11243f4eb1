// A plain text file as one long list of token ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "io/text/tokenizer.h"

namespace orchard::text {

// What is encoded as one text. A tokenizer sees no further than a document.
enum class DocumentSplit {
  kLine,       // each line that is not empty
  kParagraph,  // lines up to an empty line
  kWhole       // the whole file; the bytes that are encoded are then exactly those of the file
};

struct CorpusOptions {
  DocumentSplit split = DocumentSplit::kLine;
  std::optional<int32_t> begin_token;  // put before every document
  std::optional<int32_t> end_token;    // put after every document
};

// The ids of all documents in order; the same for any number of threads.
std::vector<int32_t> EncodeCorpus(const Tokenizer& tokenizer, std::string_view text,
                                  const CorpusOptions& options, ThreadPool& pool);

// The documents of `text`, without the line breaks that separate them.
std::vector<std::string_view> SplitDocuments(std::string_view text, DocumentSplit split);

}  // namespace orchard::text
