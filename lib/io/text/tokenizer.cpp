#include "io/text/tokenizer.h"

#include <fstream>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/text/added_tokens.h"
#include "io/text/decoder.h"
#include "io/text/length.h"
#include "io/text/model.h"
#include "io/text/normalizer.h"
#include "io/text/post_processor.h"
#include "io/text/pre_tokenizer.h"
#include "io/text/unicode.h"

namespace orchard::text {

struct Tokenizer::State {
  bool bytes = false;  // the byte tokenizer: nothing below but the added tokens is used
  Vocabulary vocabulary;
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Model> model;
  PostProcessor post_processor;
  std::unique_ptr<Decoder> decoder;
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
  int32_t end = 0;

  std::string Normalized(std::string text) const {
    return normalizer ? (*normalizer)(std::move(text)) : text;
  }
  void AppendWords(std::string text, ModelCache* cache, std::vector<int32_t>& ids) const;
  void Append(std::string_view text, ModelCache* cache, std::vector<int32_t>& ids) const;
};

void Tokenizer::State::AppendWords(std::string text, ModelCache* cache,
                                   std::vector<int32_t>& ids) const {
  const size_t size = text.size();
  Pieces pieces{std::move(text), {{0, size}}};
  if (pre_tokenizer) pieces = (*pre_tokenizer)(std::move(pieces));
  for (size_t i = 0; i < pieces.spans.size(); ++i) model->Encode(pieces[i], cache, ids);
}

void Tokenizer::State::Append(std::string_view text, ModelCache* cache,
                              std::vector<int32_t>& ids) const {
  if (bytes) {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return;
  }
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  for (const AddedTokens::Segment& outer : added.Split(text, false)) {
    if (const int32_t* id = std::get_if<int32_t>(&outer)) {
      ids.push_back(*id);
      continue;
    }
    const std::string normalized = Normalized(std::string(std::get<std::string_view>(outer)));
    for (const AddedTokens::Segment& inner : added.Split(normalized, true)) {
      if (const int32_t* id = std::get_if<int32_t>(&inner)) {
        ids.push_back(*id);
      } else {
        AppendWords(std::string(std::get<std::string_view>(inner)), cache, ids);
      }
    }
  }
}

namespace {

std::vector<AddedToken> ReadAddedTokens(const JsonField& list, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < list.ArraySize(); ++i) {
    const JsonField item = list.Item(i);
    AddedToken token;
    token.content = item.At("content").String();
    token.id = static_cast<int32_t>(item.At("id").Integer(0, kMaxTokenId));
    token.special = item.Bool("special", false);
    token.normalized = item.Bool("normalized", !token.special);
    token.single_word = item.Bool("single_word", false);
    token.lstrip = item.Bool("lstrip", false);
    token.rstrip = item.Bool("rstrip", false);
    if (token.content.empty()) continue;
    token.id = vocabulary.Id(token.content).value_or(token.id);  // the model's id wins
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::unique_ptr<Model> MakeModel(const JsonField& field, const Vocabulary& vocabulary,
                                 bool byte_level) {
  // Files of before 2020 name no type.
  const std::string type = field.String("type", field.Has("merges") ? "BPE" : "WordPiece");
  if (type == "WordPiece") return MakeWordPiece(field, vocabulary);
  if (type == "BPE") return MakeBpe(field, vocabulary, byte_level);
  throw ImpossibleError("tokenizer model \"" + type + "\" is not supported", field.where(),
                        "WordPiece and BPE are");
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("cannot open the tokenizer", path.string());
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw DataError("cannot read the tokenizer", path.string());
  return std::move(text).str();
}

// The spellings of each role, the usual one first.
std::vector<std::string_view> Spellings(SpecialToken role) {
  switch (role) {
    case SpecialToken::kPad:
      return {"[PAD]", "<pad>", "<|pad|>", "<|finetune_right_pad_id|>"};
    case SpecialToken::kUnknown:
      return {"[UNK]", "<unk>"};
    case SpecialToken::kClass:
      return {"[CLS]", "<s>", "<cls>"};
    case SpecialToken::kSeparator:
      return {"[SEP]", "</s>", "<sep>"};
    case SpecialToken::kMask:
      return {"[MASK]", "<mask>"};
    case SpecialToken::kBegin:
      return {"<s>", "<bos>", "<|begin_of_text|>", "[BOS]", "<|startoftext|>"};
    case SpecialToken::kEnd:
      return {"</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "[EOS]", "<|im_end|>"};
  }
  return {};
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::Open(const std::filesystem::path& path) {
  if (path == "bytes") return Bytes();
  const bool directory = std::filesystem::is_directory(path);
  const std::filesystem::path file = directory ? path / "tokenizer.json" : path;
  return FromJson(ReadFile(file), file.string());
}

Tokenizer Tokenizer::FromJson(std::string_view text, const std::string& where) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(
        "the tokenizer is not valid JSON", where,
        "byte " + std::to_string(dynamic_cast<const nlohmann::json::parse_error*>(&error)
                                     ? static_cast<const nlohmann::json::parse_error&>(error).byte
                                     : 0));
  }
  const JsonField root(document, where + ": ");
  auto state = std::make_unique<State>();
  const JsonField model = root.At("model");
  state->vocabulary = Vocabulary(model.At("vocab"));
  if (root.Has("normalizer")) state->normalizer = MakeNormalizer(root.At("normalizer"));
  if (root.Has("pre_tokenizer")) state->pre_tokenizer = MakePreTokenizer(root.At("pre_tokenizer"));
  const bool byte_level = state->pre_tokenizer && state->pre_tokenizer->byte_level();
  state->model = MakeModel(model, state->vocabulary, byte_level);
  if (root.Has("post_processor")) {
    state->post_processor = PostProcessor::Make(root.At("post_processor"));
  }
  if (root.Has("decoder")) state->decoder = MakeDecoder(root.At("decoder"));
  if (root.Has("truncation")) state->truncation.emplace(root.At("truncation"));
  if (root.Has("padding")) state->padding.emplace(root.At("padding"));
  state->end = state->vocabulary.end();
  if (root.Has("added_tokens")) {
    std::vector<AddedToken> tokens = ReadAddedTokens(root.At("added_tokens"), state->vocabulary);
    for (const AddedToken& token : tokens) state->end = std::max(state->end, token.id + 1);
    state->added = AddedTokens(std::move(tokens), [&](std::string content) {
      return state->Normalized(std::move(content));
    });
  }
  // An id beyond the vocabulary would index past a model's embeddings.
  if (state->post_processor.max_id() >= state->end) {
    root.At("post_processor").Fail("it adds a token whose id is not in the vocabulary");
  }
  if (state->padding && state->padding->id() >= state->end) {
    root.At("padding").Fail("the id of the padding token is not in the vocabulary");
  }
  return Tokenizer(std::move(state));
}

Tokenizer Tokenizer::Bytes() {
  auto state = std::make_unique<State>();
  state->bytes = true;
  std::vector<AddedToken> tokens;
  for (const char* name : {"<pad>", "<mask>", "<eos>"}) {
    AddedToken token;
    token.content = name;
    token.id = 256 + static_cast<int32_t>(tokens.size());
    token.special = true;
    tokens.push_back(std::move(token));
  }
  state->end = 259;
  state->added = AddedTokens(std::move(tokens), nullptr);
  return Tokenizer(std::move(state));
}

std::vector<int32_t> Tokenizer::Ids(std::string_view text) const {
  std::vector<int32_t> ids;
  Session(*this).Append(text, ids);
  return ids;
}

Encoding Tokenizer::Finish(std::vector<int32_t> first, std::vector<int32_t> second, bool pair,
                           const EncodeOptions& options) const {
  const size_t added = options.add_special_tokens ? state_->post_processor.added(pair) : 0;
  if (options.max_length > 0) {
    Truncation(options.max_length).Apply(first, second, pair, added);
  } else if (options.truncate && state_->truncation) {
    state_->truncation->Apply(first, second, pair, added);
  }
  Encoding encoding = state_->post_processor.Apply(first, second, pair, options.add_special_tokens);
  if (options.pad && state_->padding) state_->padding->Apply(encoding, encoding.size());
  return encoding;
}

Encoding Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  return Finish(Ids(text), {}, false, options);
}

Encoding Tokenizer::EncodePair(std::string_view first, std::string_view second,
                               const EncodeOptions& options) const {
  return Finish(Ids(first), Ids(second), true, options);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    if (skip_special_tokens && IsSpecial(id)) continue;
    if (const AddedToken* added = state_->added.Find(id)) {
      tokens.push_back(added->match);
    } else if (std::optional<std::string> token = Token(id)) {
      tokens.push_back(std::move(*token));
    }
  }
  const bool join = !state_->bytes && !state_->decoder;
  if (state_->decoder) tokens = (*state_->decoder)(std::move(tokens));
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (join && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

int32_t Tokenizer::vocabulary_size() const { return state_->end; }

std::optional<int32_t> Tokenizer::Id(std::string_view token) const {
  for (const AddedToken& added : state_->added.tokens()) {
    if (added.content == token) return added.id;
  }
  if (state_->bytes && token.size() == 1) return static_cast<unsigned char>(token[0]);
  return state_->vocabulary.Id(token);
}

std::optional<std::string> Tokenizer::Token(int32_t id) const {
  if (const AddedToken* added = state_->added.Find(id)) return added->content;
  if (state_->bytes && id >= 0 && id < 256) return std::string(1, static_cast<char>(id));
  const std::string* token = state_->vocabulary.Token(id);
  return token == nullptr ? std::nullopt : std::optional(*token);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* added = state_->added.Find(id);
  return added != nullptr && added->special;
}

std::optional<int32_t> Tokenizer::Id(SpecialToken role) const {
  for (const std::string_view spelling : Spellings(role)) {
    const std::optional<int32_t> id = Id(spelling);
    if (id && IsSpecial(*id)) return id;
  }
  return std::nullopt;
}

struct Tokenizer::Session::Memory {
  std::unique_ptr<ModelCache> cache;
};

Tokenizer::Session::Session(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), memory_(std::make_unique<Memory>()) {
  if (tokenizer.state_->model) memory_->cache = tokenizer.state_->model->NewCache();
}
Tokenizer::Session::~Session() = default;

void Tokenizer::Session::Append(std::string_view text, std::vector<int32_t>& ids) {
  tokenizer_.state_->Append(text, memory_->cache.get(), ids);
}

}  // namespace orchard::text
