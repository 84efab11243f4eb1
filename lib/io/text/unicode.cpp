#include "io/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/error.h"
#include "io/text/unicode_tables.h"

namespace orchard::text {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;

bool Contains(std::span<const CodeRange> ranges, uint32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](uint32_t v, const CodeRange& r) { return v < r.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}

utf8proc_category_t Category(uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool IsContinuation(unsigned char b) { return (b & 0xC0) == 0x80; }

}  // namespace

CodePoint DecodeAt(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const size_t left = text.size() - at;
  const unsigned char b0 = byte(0);
  if (b0 < 0x80) return {b0, 1};
  int length = 0;
  unsigned char
      low = 0x80,
      high = 0xBF;  // allowed second byte: no overlong form, surrogate or value above 0x10FFFF
  if (b0 >= 0xC2 && b0 <= 0xDF) {
    length = 2;
  } else if (b0 >= 0xE0 && b0 <= 0xEF) {
    length = 3;
    if (b0 == 0xE0) low = 0xA0;
    if (b0 == 0xED) high = 0x9F;
  } else if (b0 >= 0xF0 && b0 <= 0xF4) {
    length = 4;
    if (b0 == 0xF0) low = 0x90;
    if (b0 == 0xF4) high = 0x8F;
  } else {
    return {kReplacement, 1};
  }
  if (left < 2 || byte(1) < low || byte(1) > high) return {kReplacement, 1};
  uint32_t value = (b0 & (0xFFu >> (length + 1))) << 6 | (byte(1) & 0x3Fu);
  for (int i = 2; i < length; ++i) {
    if (left <= static_cast<size_t>(i) || !IsContinuation(byte(i))) return {kReplacement, i};
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  return {value, length};
}

void AppendUtf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool IsValidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = DecodeAt(text, i);
    // A well-formed U+FFFD takes three bytes and starts with 0xEF; an ill-formed one never decodes
    // to that.
    if (c.value == kReplacement && (c.length != 3 || static_cast<unsigned char>(text[i]) != 0xEF)) {
      return false;
    }
    i += c.length;
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = DecodeAt(text, i);
    if (c.value == kReplacement) {
      AppendUtf8(out, kReplacement);
    } else {
      out.append(text, i, c.length);
    }
    i += c.length;
  }
  return out;
}

bool IsWhitespace(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

char MajorCategory(uint32_t c) {
  if (c < 0x80) {
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return 'L';
    if (c >= '0' && c <= '9') return 'N';
  }
  const utf8proc_category_t category = Category(c);
  if (category == UTF8PROC_CATEGORY_CN) {
    return Contains(kNewLetters, c) ? 'L' : Contains(kNewNumbers, c) ? 'N' : 'C';
  }
  return utf8proc_category_string(static_cast<utf8proc_int32_t>(c))[0];
}

bool IsWord(uint32_t c) {
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      break;
  }
  const char major = MajorCategory(c);
  if (major == 'L' || major == 'M') return true;
  // Join_Control, and the Other_Alphabetic symbols: circled and squared Latin letters.
  return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

bool IsBertControl(uint32_t c) {
  if (c < 0x80) return c != '\t' && c != '\n' && c != '\r' && (c < 0x20 || c == 0x7F);
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return true;
    case UTF8PROC_CATEGORY_CF:
      return !Contains(kKeptFormats, c);
    default:
      return c == kReplacement;
  }
}

bool IsBertChinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsBertPunctuation(uint32_t c) {
  if (c < 0x80) {
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  }
  return MajorCategory(c) == 'P' ? !Contains(kNotPunctuation, c) : c == 0x166D || c == 0x111C9;
}

bool IsNonspacingMark(uint32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;  // a spacing mark only since Unicode 14
  return Category(c) == UTF8PROC_CATEGORY_MN && !Contains(kNotNonspacing, c);
}

void AppendLower(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130) {
    out += "i\u0307";
    return;
  }
  for (const LowerRange& range : kNewLower) {
    if (c >= range.first && c <= range.last) {
      AppendUtf8(out, static_cast<uint32_t>(static_cast<int32_t>(c) + range.offset));
      return;
    }
  }
  AppendUtf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

std::string Normalize(std::string_view text, NormalForm form) {
  const bool ascii = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<signed char>(c) >= 0; });
  if (ascii) return std::string(text);
  int options = UTF8PROC_STABLE;
  if (form == NormalForm::kNfc || form == NormalForm::kNfkc) options |= UTF8PROC_COMPOSE;
  if (form == NormalForm::kNfd || form == NormalForm::kNfkd) options |= UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* raw = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &raw, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(raw, &std::free);
  if (length == UTF8PROC_ERROR_INVALIDUTF8) throw DataError("text is not valid UTF-8");
  if (length < 0)
    throw ResourceError(std::string("Unicode normalisation failed: ") + utf8proc_errmsg(length));
  return std::string(reinterpret_cast<const char*>(raw), static_cast<size_t>(length));
}

}  // namespace orchard::text
