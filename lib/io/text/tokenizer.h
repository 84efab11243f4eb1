// Tokenizers of the Hugging Face ecosystem, read from tokenizer.json: WordPiece (BERT) and
// byte-level BPE (GPT-2, Llama 3, Qwen 2), and the byte tokenizer. Encoding gives the ids that the
// `tokenizers` package gives; what the reader does not know it refuses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/text/encoding.h"

namespace orchard::text {

enum class SpecialToken { kPad, kUnknown, kClass, kSeparator, kMask, kBegin, kEnd };

struct EncodeOptions {
  bool add_special_tokens = true;
  bool truncate = true;   // as the file says; no effect where it says nothing
  bool pad = true;        // likewise
  size_t max_length = 0;  // not 0: at most so many tokens, special ones included, taken from the
                          // end of the longer text; in place of what the file says
};

// Immutable, so that all threads may share one. Text is UTF-8; ill-formed sequences count as U+FFFD
// (the byte tokenizer takes any bytes).
class Tokenizer {
 public:
  // A tokenizer.json, a directory that holds one, or "bytes" for Bytes(). Throws DataError (damaged
  // file, names the key), ImpossibleError (a component that is not supported).
  static Tokenizer Open(const std::filesystem::path& path);
  // `where` names the source in messages.
  static Tokenizer FromJson(std::string_view json, const std::string& where = "tokenizer.json");
  // Ids 0 to 255 are the bytes; 256 <pad>, 257 <mask>, 258 <eos>.
  static Tokenizer Bytes();

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  Encoding Encode(std::string_view text, const EncodeOptions& options = {}) const;
  Encoding EncodePair(std::string_view first, std::string_view second,
                      const EncodeOptions& options = {}) const;
  // The ids of the text alone: no special tokens, truncation or padding.
  std::vector<int32_t> Ids(std::string_view text) const;
  // The text of `ids`. Ids that name no token are passed over.
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  // One more than the largest id: the rows that an embedding table needs.
  int32_t vocabulary_size() const;
  std::optional<int32_t> Id(std::string_view token) const;
  std::optional<std::string> Token(int32_t id) const;
  bool IsSpecial(int32_t id) const;
  // By the usual spellings ("[MASK]", "<mask>", ...) among the special tokens.
  std::optional<int32_t> Id(SpecialToken role) const;

  // Encodes many texts one after the other, remembering words between them: faster than `Ids`, same
  // result. One thread each.
  class Session {
   public:
    explicit Session(const Tokenizer& tokenizer);
    ~Session();
    void Append(std::string_view text, std::vector<int32_t>& ids);

   private:
    struct Memory;
    const Tokenizer& tokenizer_;
    std::unique_ptr<Memory> memory_;
  };

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  Encoding Finish(std::vector<int32_t> first, std::vector<int32_t> second, bool pair,
                  const EncodeOptions& options) const;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::text
