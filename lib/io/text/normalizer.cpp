#include "io/text/normalizer.h"

#include <vector>

#include "base/error.h"
#include "io/text/unicode.h"

namespace orchard::text {
namespace {

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const JsonField& f)
      : clean_(f.Bool("clean_text", true)),
        chinese_(f.Bool("handle_chinese_chars", true)),
        lowercase_(f.Bool("lowercase", true)),
        strip_(f.Bool("strip_accents", lowercase_)) {}  // null follows lowercase

  std::string operator()(std::string text) const override {
    std::string out = CleanAndSpace(text);
    if (strip_) {
      const std::string decomposed = Normalize(out, NormalForm::kNfd);
      out.clear();
      for (size_t i = 0; i < decomposed.size();) {
        const CodePoint c = DecodeAt(decomposed, i);
        if (!IsNonspacingMark(c.value)) out.append(decomposed, i, c.length);
        i += c.length;
      }
    }
    if (!lowercase_) return out;
    std::string lower;
    lower.reserve(out.size());
    for (size_t i = 0; i < out.size();) {
      const CodePoint c = DecodeAt(out, i);
      AppendLower(lower, c.value);
      i += c.length;
    }
    return lower;
  }

 private:
  std::string CleanAndSpace(const std::string& text) const {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = DecodeAt(text, i);
      if (clean_ && (c.value == 0 || IsBertControl(c.value))) {
        // dropped
      } else if (clean_ && IsWhitespace(c.value)) {
        out += ' ';
      } else if (chinese_ && IsBertChinese(c.value)) {
        out += ' ';
        out.append(text, i, c.length);
        out += ' ';
      } else {
        out.append(text, i, c.length);
      }
      i += c.length;
    }
    return out;
  }

  bool clean_, chinese_, lowercase_, strip_;
};

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  std::string operator()(std::string text) const override { return Normalize(text, form_); }

 private:
  NormalForm form_;
};

class Lowercase : public Normalizer {
 public:
  std::string operator()(std::string text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = DecodeAt(text, i);
      AppendLower(out, c.value);
      i += c.length;
    }
    return out;
  }
};

class StripAccents : public Normalizer {
 public:
  std::string operator()(std::string text) const override {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = DecodeAt(text, i);
      if (MajorCategory(c.value) != 'M') out.append(text, i, c.length);
      i += c.length;
    }
    return out;
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  std::string operator()(std::string text) const override {
    size_t first = std::string::npos, last = 0;  // of what is not white space
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = DecodeAt(text, i);
      if (!IsWhitespace(c.value)) {
        if (first == std::string::npos) first = i;
        last = i + c.length;
      }
      i += c.length;
    }
    if (first == std::string::npos) return left_ || right_ ? "" : text;
    const size_t begin = left_ ? first : 0, end = right_ ? last : text.size();
    return text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string operator()(std::string text) const override {
    return text.empty() ? text : prefix_ + text;
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  std::string operator()(std::string text) const override {
    std::string out;
    size_t done = 0;
    for (size_t hit; (hit = text.find(from_, done)) != std::string::npos;) {
      out.append(text, done, hit - done);
      out += to_;
      done = hit + from_.size();
    }
    return out.append(text, done);
  }

 private:
  std::string from_, to_;
};

class NormalizerSequence : public Normalizer {
 public:
  NormalizerSequence(const JsonField& list, int depth) {
    for (size_t i = 0; i < list.ArraySize(); ++i) {
      steps_.push_back(MakeNormalizer(list.Item(i), depth + 1));
    }
  }
  std::string operator()(std::string text) const override {
    for (const auto& step : steps_) text = (*step)(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

std::unique_ptr<Normalizer> MakeReplace(const JsonField& field) {
  const JsonField pattern = field.At("pattern");
  if (!pattern.Has("String")) {
    throw ImpossibleError("a Replace normalizer with a regular expression is not supported",
                          pattern.where(), "String patterns are");
  }
  std::string from = pattern.At("String").String();
  if (from.empty()) pattern.Fail("the pattern is empty");
  return std::make_unique<Replace>(std::move(from), field.At("content").String());
}

}  // namespace

std::unique_ptr<Normalizer> MakeNormalizer(const JsonField& field, int depth) {
  if (depth > kMaxNesting) field.Fail("normalizers are nested too deeply");
  const std::string type = field.Type();
  if (type == "BertNormalizer") return std::make_unique<BertNormalizer>(field);
  if (type == "NFC") return std::make_unique<UnicodeForm>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalForm::kNfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") {
    return std::make_unique<Strip>(field.Bool("strip_left", true), field.Bool("strip_right", true));
  }
  if (type == "Prepend") return std::make_unique<Prepend>(field.At("prepend").String());
  if (type == "Replace") return MakeReplace(field);
  if (type == "Sequence") {
    return std::make_unique<NormalizerSequence>(field.At("normalizers"), depth);
  }
  throw ImpossibleError("normalizer \"" + type + "\" is not supported", field.where());
}

}  // namespace orchard::text
