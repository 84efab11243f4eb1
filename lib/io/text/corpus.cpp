#include "io/text/corpus.h"

#include <algorithm>
#include <atomic>

namespace orchard::text {
namespace {

std::string_view WithoutReturn(std::string_view line) {
  return !line.empty() && line.back() == '\r' ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

std::vector<std::string_view> SplitDocuments(std::string_view text, DocumentSplit split) {
  std::vector<std::string_view> documents;
  if (split == DocumentSplit::kWhole) {
    if (!text.empty()) documents.push_back(text);
    return documents;
  }
  bool open = false;  // whether the last document may grow (kParagraph)
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = WithoutReturn(text.substr(begin, end - begin));
    if (line.empty()) {
      open = false;
    } else if (open && split == DocumentSplit::kParagraph) {
      const char* first = documents.back().data();
      documents.back() = {first, static_cast<size_t>(line.data() + line.size() - first)};
    } else {
      documents.push_back(line);
      open = true;
    }
    begin = end + 1;
  }
  return documents;
}

std::vector<int32_t> EncodeCorpus(const Tokenizer& tokenizer, std::string_view text,
                                  const CorpusOptions& options, ThreadPool& pool) {
  constexpr size_t kChunkBytes = 1 << 18;
  const std::vector<std::string_view> documents = SplitDocuments(text, options.split);
  std::vector<size_t> begins;  // first document of each chunk
  for (size_t i = 0, bytes = kChunkBytes; i < documents.size(); ++i) {
    if (bytes >= kChunkBytes) {
      begins.push_back(i);
      bytes = 0;
    }
    bytes += documents[i].size() + 1;
  }
  begins.push_back(documents.size());
  const int64_t chunks = static_cast<int64_t>(begins.size()) - 1;
  std::vector<std::vector<int32_t>> parts(static_cast<size_t>(chunks));
  // One session per worker, so that words are remembered over all its chunks.
  std::atomic<int64_t> next = 0;
  pool.ForEach(pool.threads(), [&](int64_t) {
    Tokenizer::Session session(tokenizer);
    for (int64_t chunk; (chunk = next++) < chunks;) {
      std::vector<int32_t>& ids = parts[chunk];
      for (size_t i = begins[chunk]; i < begins[chunk + 1]; ++i) {
        if (options.begin_token) ids.push_back(*options.begin_token);
        session.Append(documents[i], ids);
        if (options.end_token) ids.push_back(*options.end_token);
      }
    }
  });
  size_t total = 0;
  for (const auto& part : parts) total += part.size();
  std::vector<int32_t> ids;
  ids.reserve(total);
  for (auto& part : parts) {
    ids.insert(ids.end(), part.begin(), part.end());
    part = {};
  }
  return ids;
}

}  // namespace orchard::text
