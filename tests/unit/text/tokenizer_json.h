// Small tokenizer.json documents for the tests.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "io/text/byte_alphabet.h"
#include "io/text/unicode.h"

namespace orchard::text {

inline nlohmann::json Vocabulary(const std::vector<std::string>& tokens) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary[tokens[i]] = i;
  return vocabulary;
}

inline nlohmann::json AddedToken(const std::string& content, int id, bool special = true) {
  return {{"content", content},   {"id", id},        {"special", special}, {"normalized", !special},
          {"single_word", false}, {"lstrip", false}, {"rstrip", false}};
}

// BERT with the pieces [PAD] [UNK] [CLS] [SEP] [MASK] (ids 0 to 4) and then `pieces`.
inline nlohmann::json BertJson(const std::vector<std::string>& pieces) {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
  nlohmann::json document = {
      {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", Vocabulary(tokens)}}},
      {"post_processor",
       {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}}};
  for (int id = 0; id < 5; ++id) document["added_tokens"].push_back(AddedToken(tokens[id], id));
  return document;
}

// Byte-level BPE whose vocabulary is the alphabet of bytes (id = byte) and then the results of
// `merges`, "a b" each.
inline nlohmann::json ByteLevelJson(const std::vector<std::string>& merges) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int b = 0; b < 256; ++b) {
    std::string spelled;
    AppendUtf8(spelled, ByteCodePoints()[b]);
    vocabulary[spelled] = b;
  }
  for (const std::string& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    vocabulary.emplace(token, vocabulary.size());
  }
  return {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

}  // namespace orchard::text
