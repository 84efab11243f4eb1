// Text as HTML: escaping, and the two encodings that put data into a page.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace orchard::run {

// `text` as character data or as a quoted attribute value: & < > " ' become entities, other control
// characters than tab and line feed become U+FFFD, and so do bytes that are not UTF-8.
std::string EscapeHtml(std::string_view text);

// JSON text made safe inside <script>: every < > & and U+2028, U+2029 (which occur in strings only)
// as \uXXXX.
std::string EscapeJsonForScript(std::string_view json);

std::string Base64(std::span<const std::byte> bytes);

}  // namespace orchard::run
