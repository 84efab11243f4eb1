#include "io/text/decoder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "io/text/byte_alphabet.h"
#include "io/text/unicode.h"

namespace orchard::text {
namespace {

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

// Takes out the blanks that cutting at punctuation left behind, token by token as the `tokenizers`
// package does.
void CleanUp(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) ReplaceAll(text, from, to);
}

using Tokens = std::vector<std::string>;

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool clean_up)
      : prefix_(std::move(prefix)), clean_up_(clean_up) {}
  Tokens operator()(Tokens tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && tokens[i].starts_with(prefix_)) {
        tokens[i].erase(0, prefix_.size());
      } else if (i > 0) {
        tokens[i].insert(0, " ");
      }
      if (clean_up_) CleanUp(tokens[i]);
    }
    return tokens;
  }

 private:
  std::string prefix_;
  bool clean_up_;
};

class ByteLevelDecoder : public Decoder {
 public:
  Tokens operator()(Tokens tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += BytesOfToken(token).value_or(token);
    return {ReplaceInvalidUtf8(bytes)};
  }
};

class BpeSuffixDecoder : public Decoder {
 public:
  explicit BpeSuffixDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  Tokens operator()(Tokens tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      ReplaceAll(tokens[i], suffix_, i + 1 < tokens.size() ? " " : "");
    }
    return tokens;
  }

 private:
  std::string suffix_;
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(std::string mark, bool prepended)
      : mark_(std::move(mark)), prepended_(prepended) {}
  Tokens operator()(Tokens tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      ReplaceAll(tokens[i], mark_, i == 0 && prepended_ ? "" : " ");
    }
    return tokens;
  }

 private:
  std::string mark_;
  bool prepended_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  Tokens operator()(Tokens tokens) const override {
    for (std::string& token : tokens) ReplaceAll(token, from_, to_);
    return tokens;
  }

 private:
  std::string from_, to_;
};

class ByteFallbackDecoder : public Decoder {
 public:
  Tokens operator()(Tokens tokens) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (IsValidUtf8(bytes)) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = ByteOf(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    return out;
  }

 private:
  // The value of "<0x1F>", -1 for anything else.
  static int ByteOf(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const auto digit = [](char c) {
      if (c >= '0' && c <= '9') return c - '0';
      const char lower = static_cast<char>(c | 0x20);
      return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    };
    const int high = digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
};

class FuseDecoder : public Decoder {
 public:
  Tokens operator()(Tokens tokens) const override {
    return {
        std::accumulate(tokens.begin(), tokens.end(), std::string(),
                        [](std::string all, const std::string& t) { return std::move(all) + t; })};
  }
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  Tokens operator()(Tokens tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) {
        rest.remove_prefix(content_.size());
      }
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) {
        rest.remove_suffix(content_.size());
      }
      token = std::string(rest);
    }
    return tokens;
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class DecoderSequence : public Decoder {
 public:
  DecoderSequence(const JsonField& list, int depth) {
    for (size_t i = 0; i < list.ArraySize(); ++i) {
      steps_.push_back(MakeDecoder(list.Item(i), depth + 1));
    }
  }
  Tokens operator()(Tokens tokens) const override {
    for (const auto& step : steps_) tokens = (*step)(std::move(tokens));
    return tokens;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::string NotEmpty(const JsonField& field) {
  std::string text = field.String();
  if (text.empty()) field.Fail("the string is empty");
  return text;
}

}  // namespace

std::unique_ptr<Decoder> MakeDecoder(const JsonField& field, int depth) {
  if (depth > kMaxNesting) field.Fail("decoders are nested too deeply");
  const std::string type = field.Type();
  if (type == "WordPiece") {
    return std::make_unique<WordPieceDecoder>(field.String("prefix", "##"),
                                              field.Bool("cleanup", true));
  }
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "BPEDecoder") return std::make_unique<BpeSuffixDecoder>(NotEmpty(field.At("suffix")));
  if (type == "Metaspace") {
    return std::make_unique<MetaspaceDecoder>(NotEmpty(field.At("replacement")),
                                              field.String("prepend_scheme", "always") != "never");
  }
  if (type == "Replace") {
    const JsonField pattern = field.At("pattern");
    if (!pattern.Has("String")) {
      throw ImpossibleError("a Replace decoder with a regular expression is not supported",
                            pattern.where(), "String patterns are");
    }
    return std::make_unique<ReplaceDecoder>(NotEmpty(pattern.At("String")),
                                            field.At("content").String());
  }
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Strip") {
    return std::make_unique<StripDecoder>(NotEmpty(field.At("content")),
                                          field.Integer("start", 0, INT32_MAX, 0),
                                          field.Integer("stop", 0, INT32_MAX, 0));
  }
  if (type == "Sequence") {
    return std::make_unique<DecoderSequence>(field.At("decoders"), depth);
  }
  throw ImpossibleError("decoder \"" + type + "\" is not supported", field.where());
}

}  // namespace orchard::text
