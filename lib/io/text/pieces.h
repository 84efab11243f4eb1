// A text cut into pieces: what pre-tokenizers pass on.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::text {

struct Span {
  size_t begin, end;  // bytes of `Pieces::text`
};

struct Pieces {
  std::string text;
  std::vector<Span> spans;  // in order, not overlapping, none empty

  std::string_view operator[](size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

}  // namespace orchard::text
