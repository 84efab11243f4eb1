// UTF-8 and the Unicode properties that tokenizers need, on top of utf8proc. Where the Hugging Face
// `tokenizers` package uses older tables than utf8proc (it does for newer scripts), its answer is
// given, because a tokenizer must agree with its training.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orchard::text {

// One code point of a UTF-8 string and how many bytes it takes.
struct CodePoint {
  uint32_t value;
  int length;
};

// The code point that starts at text[at]; `at` < text.size(). An ill-formed sequence gives U+FFFD
// and the length of its maximal subpart (Unicode, section 3.9), so that a caller always advances.
CodePoint DecodeAt(std::string_view text, size_t at);

// Appends the UTF-8 form of a code point below 0x110000.
void AppendUtf8(std::string& out, uint32_t code_point);

bool IsValidUtf8(std::string_view text);

// `text` with every ill-formed sequence replaced by U+FFFD, as Python's errors="replace" does.
std::string ReplaceInvalidUtf8(std::string_view text);

// White_Space of Unicode.
bool IsWhitespace(uint32_t c);
// The general category's first letter: 'L' letters, 'N' numbers, 'M' marks, 'P' punctuation, 'S',
// 'Z', 'C'.
char MajorCategory(uint32_t c);
// \w of the `regex` crate: letters, marks, decimal digits, connectors, letter numbers, other
// alphabetics, joiners.
bool IsWord(uint32_t c);

// Predicates of the BERT normaliser and pre-tokenizer.
bool IsBertControl(
    uint32_t c);  // removed by clean_text: U+0000, U+FFFD, Cc, Cf, Co but not tab, newline, return
bool IsBertChinese(uint32_t c);      // CJK ideographs, which become words of their own
bool IsBertPunctuation(uint32_t c);  // ASCII punctuation and category P
bool IsNonspacingMark(uint32_t c);   // Mn: accents

// Lower case of one code point without context, appended. U+0130 gives two code points.
void AppendLower(std::string& out, uint32_t c);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// `text` must be valid UTF-8. Throws ResourceError when memory runs out.
std::string Normalize(std::string_view text, NormalForm form);

}  // namespace orchard::text
