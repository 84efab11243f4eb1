#include "io/printable.h"

namespace orchard::io {

std::string Printable(std::string_view text, size_t limit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const bool cut = text.size() > limit;
  if (cut) {
    // Never in the middle of a UTF-8 sequence.
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
    text = text.substr(0, limit);
  }
  std::string out;
  for (char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  if (cut) out += "...";
  return out;
}

std::string Quoted(std::string_view text) { return "'" + Printable(text) + "'"; }

}  // namespace orchard::io
