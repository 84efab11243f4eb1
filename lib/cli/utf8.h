// UTF-8 as TOML and JSON demand it.
#pragma once

#include <string_view>

namespace orchard::cli {

// Whether `text` is well-formed UTF-8: no overlong forms, surrogates or code points beyond
// U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace orchard::cli
