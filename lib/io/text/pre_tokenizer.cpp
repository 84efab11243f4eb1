#include "io/text/pre_tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"
#include "io/text/split_pattern.h"
#include "io/text/unicode.h"

namespace orchard::text {
namespace {

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// A stretch of one piece, and whether the pattern matched it. Together they cover the piece.
struct Part {
  Span span;
  bool match;
};

void AppendMerged(const std::vector<Part>& parts, bool with_previous, std::vector<Span>& out) {
  std::vector<Span> merged;
  bool last_was_match = false;
  for (size_t k = 0; k < parts.size(); ++k) {
    const Part& part = parts[with_previous ? k : parts.size() - 1 - k];
    if (part.match && !last_was_match && !merged.empty()) {
      if (with_previous) {
        merged.back().end = part.span.end;
      } else {
        merged.back().begin = part.span.begin;
      }
    } else {
      merged.push_back(part.span);
    }
    last_was_match = part.match;
  }
  if (!with_previous) std::reverse(merged.begin(), merged.end());
  out.insert(out.end(), merged.begin(), merged.end());
}

// Cuts one piece, whose parts are given, by `behavior`.
void Cut(const std::vector<Part>& parts, Behavior behavior, std::vector<Span>& out) {
  switch (behavior) {
    case Behavior::kIsolated:
      for (const Part& part : parts) out.push_back(part.span);
      break;
    case Behavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.match) out.push_back(part.span);
      }
      break;
    case Behavior::kContiguous: {
      const Part* last = nullptr;
      for (const Part& part : parts) {
        if (last != nullptr && last->match == part.match) {
          out.back().end = part.span.end;
        } else {
          out.push_back(part.span);
        }
        last = &part;
      }
      break;
    }
    case Behavior::kMergedWithPrevious:
      AppendMerged(parts, true, out);
      break;
    case Behavior::kMergedWithNext:
      AppendMerged(parts, false, out);
      break;
  }
}

Behavior BehaviorOf(const JsonField& field, const char* key, std::string_view fallback) {
  const std::string name = field.String(key, fallback);
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  field.Fail("unknown split behavior \"" + name + "\"");
}

// Cuts at code points: every one that `matches` is a part of its own.
class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(bool (*matches)(uint32_t), Behavior behavior)
      : matches_(matches), behavior_(behavior) {}

  Pieces operator()(Pieces pieces) const override {
    std::vector<Span> spans;
    std::vector<Part> parts;
    for (const Span& piece : pieces.spans) {
      parts.clear();
      for (size_t i = piece.begin; i < piece.end;) {
        const CodePoint c = DecodeAt(pieces.text, i);
        const bool match = matches_(c.value);
        if (match || parts.empty() || parts.back().match) {
          parts.push_back({{i, i + c.length}, match});
        } else {
          parts.back().span.end = i + c.length;
        }
        i += c.length;
      }
      Cut(parts, behavior_, spans);
    }
    pieces.spans = std::move(spans);
    return pieces;
  }

 private:
  bool (*matches_)(uint32_t);
  Behavior behavior_;
};

// Words of BERT: white space removed, punctuation on its own. One pass of what two CharacterSplits
// would do.
class BertPreTokenizer : public PreTokenizer {
 public:
  Pieces operator()(Pieces pieces) const override {
    std::vector<Span> spans;
    spans.reserve(pieces.text.size() / 4);
    for (const Span& piece : pieces.spans) {
      size_t word = piece.begin;
      for (size_t i = piece.begin; i < piece.end;) {
        const CodePoint c = DecodeAt(pieces.text, i);
        const size_t next = i + c.length;
        const bool space = IsWhitespace(c.value);
        if (space || IsBertPunctuation(c.value)) {
          if (word < i) spans.push_back({word, i});
          if (!space) spans.push_back({i, next});
          word = next;
        }
        i = next;
      }
      if (word < piece.end) spans.push_back({word, piece.end});
    }
    pieces.spans = std::move(spans);
    return pieces;
  }
};

// \w+|[^\w\s]+
class WhitespaceWords : public PreTokenizer {
 public:
  Pieces operator()(Pieces pieces) const override {
    const auto kind = [](uint32_t c) { return IsWhitespace(c) ? 0 : IsWord(c) ? 1 : 2; };
    std::vector<Span> spans;
    for (const Span& piece : pieces.spans) {
      int last = 0;
      for (size_t i = piece.begin; i < piece.end;) {
        const CodePoint c = DecodeAt(pieces.text, i);
        const int now = kind(c.value);
        if (now != 0 && now == last) {
          spans.back().end = i + c.length;
        } else if (now != 0) {
          spans.push_back({i, i + c.length});
        }
        last = now;
        i += c.length;
      }
    }
    pieces.spans = std::move(spans);
    return pieces;
  }
};

class PatternSplit : public PreTokenizer {
 public:
  PatternSplit(std::variant<std::string, SplitPattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  Pieces operator()(Pieces pieces) const override {
    std::vector<Span> spans;
    std::vector<Part> parts;
    for (const Span& piece : pieces.spans) {
      parts.clear();
      FindParts(pieces.text, piece, parts);
      Cut(parts, behavior_, spans);
    }
    pieces.spans = std::move(spans);
    return pieces;
  }

 private:
  void FindParts(std::string_view text, Span piece, std::vector<Part>& parts) const {
    const std::string_view all = text.substr(piece.begin, piece.end - piece.begin);
    if (const auto* pattern = std::get_if<SplitPattern>(&pattern_)) {
      for (size_t at = 0; at < all.size();) {
        const size_t end = pattern->MatchEnd(all, at);
        parts.push_back({{piece.begin + at, piece.begin + end}, !invert_});
        at = end;
      }
      return;
    }
    const std::string& wanted = std::get<std::string>(pattern_);
    size_t done = 0;
    while (done < all.size()) {
      const size_t hit = std::min(all.find(wanted, done), all.size());
      if (hit > done) parts.push_back({{piece.begin + done, piece.begin + hit}, invert_});
      if (hit == all.size()) break;
      done = hit + wanted.size();
      parts.push_back({{piece.begin + hit, piece.begin + done}, !invert_});
    }
  }

  std::variant<std::string, SplitPattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}
  bool byte_level() const override { return true; }

  Pieces operator()(Pieces pieces) const override {
    if (add_prefix_space_) pieces = WithPrefixSpaces(pieces);
    if (!use_regex_) return pieces;
    const SplitPattern pattern = SplitPattern::Gpt2();
    std::vector<Span> spans;
    spans.reserve(pieces.text.size() / 4);
    for (const Span& piece : pieces.spans) {
      const std::string_view all(pieces.text.data() + piece.begin, piece.end - piece.begin);
      for (size_t at = 0; at < all.size();) {
        const size_t end = pattern.MatchEnd(all, at);
        spans.push_back({piece.begin + at, piece.begin + end});
        at = end;
      }
    }
    pieces.spans = std::move(spans);
    return pieces;
  }

 private:
  static Pieces WithPrefixSpaces(const Pieces& pieces) {
    Pieces out;
    out.text.reserve(pieces.text.size() + pieces.spans.size());
    for (size_t i = 0; i < pieces.spans.size(); ++i) {
      const size_t begin = out.text.size();
      if (pieces[i].front() != ' ') out.text += ' ';
      out.text += pieces[i];
      out.spans.push_back({begin, out.text.size()});
    }
    return out;
  }

  bool add_prefix_space_, use_regex_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  PreTokenizerSequence(const JsonField& list, int depth) {
    for (size_t i = 0; i < list.ArraySize(); ++i) {
      if (byte_level()) {
        throw ImpossibleError("a pre-tokenizer after ByteLevel is not supported",
                              list.Item(i).where());
      }
      steps_.push_back(MakePreTokenizer(list.Item(i), depth + 1));
    }
  }
  Pieces operator()(Pieces pieces) const override {
    for (const auto& step : steps_) pieces = (*step)(std::move(pieces));
    return pieces;
  }
  bool byte_level() const override { return !steps_.empty() && steps_.back()->byte_level(); }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> MakeSplit(const JsonField& field) {
  const Behavior behavior = BehaviorOf(field, "behavior", "Isolated");
  const bool invert = field.Bool("invert", false);
  const JsonField pattern = field.At("pattern");
  if (pattern.Has("String")) {
    std::string wanted = pattern.At("String").String();
    if (wanted.empty()) pattern.Fail("the pattern is empty");
    return std::make_unique<PatternSplit>(std::move(wanted), behavior, invert);
  }
  const std::string expression = pattern.At("Regex").String();
  const std::optional<SplitPattern> known = SplitPattern::Find(expression);
  if (!known) {
    throw ImpossibleError("the regular expression " + expression + " is not a known split pattern",
                          pattern.where(),
                          "those of GPT-2, GPT-4, Llama 3 and Qwen 2 are; docs/formats.md");
  }
  return std::make_unique<PatternSplit>(*known, behavior, invert);
}

bool IsNumber(uint32_t c) { return MajorCategory(c) == 'N'; }

}  // namespace

std::unique_ptr<PreTokenizer> MakePreTokenizer(const JsonField& field, int depth) {
  if (depth > kMaxNesting) field.Fail("pre-tokenizers are nested too deeply");
  const std::string type = field.Type();
  if (type == "BertPreTokenizer") return std::make_unique<BertPreTokenizer>();
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>(field.Bool("add_prefix_space", true),
                                       field.Bool("use_regex", true));
  }
  if (type == "Split") return MakeSplit(field);
  if (type == "Whitespace") return std::make_unique<WhitespaceWords>();
  if (type == "WhitespaceSplit") {
    return std::make_unique<CharacterSplit>(&IsWhitespace, Behavior::kRemoved);
  }
  if (type == "Punctuation") {
    return std::make_unique<CharacterSplit>(&IsBertPunctuation,
                                            BehaviorOf(field, "behavior", "Isolated"));
  }
  if (type == "Digits") {
    return std::make_unique<CharacterSplit>(&IsNumber, field.Bool("individual_digits", false)
                                                           ? Behavior::kIsolated
                                                           : Behavior::kContiguous);
  }
  if (type == "Sequence") {
    return std::make_unique<PreTokenizerSequence>(field.At("pretokenizers"), depth);
  }
  throw ImpossibleError("pre-tokenizer \"" + type + "\" is not supported", field.where());
}

}  // namespace orchard::text
