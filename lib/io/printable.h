// Names from untrusted files, made fit for a one-line message on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace orchard::io {

// `text` with control characters as \xNN and all beyond `limit` bytes replaced by "...". UTF-8
// stays as it is.
std::string Printable(std::string_view text, size_t limit = 160);

// The same in single quotes.
std::string Quoted(std::string_view text);

}  // namespace orchard::io
