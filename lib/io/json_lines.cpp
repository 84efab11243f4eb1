#include "io/json_lines.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "io/json_file.h"
#include "io/mapped_file.h"

namespace orchard::io {

struct JsonLinesReader::State {
  MappedFile file;
  std::string where;
  size_t at = 0;
  int64_t line = 0;
};

JsonLinesReader::JsonLinesReader(const std::filesystem::path& path)
    : state_(new State{MappedFile(path), path.string()}) {}
JsonLinesReader::~JsonLinesReader() = default;
JsonLinesReader::JsonLinesReader(JsonLinesReader&&) noexcept = default;

int64_t JsonLinesReader::line() const { return state_->line; }

bool JsonLinesReader::Next(nlohmann::json& value) {
  const auto bytes = state_->file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (state_->at < text.size()) {
    const size_t end = std::min(text.find('\n', state_->at), text.size());
    const std::string_view line = text.substr(state_->at, end - state_->at);
    state_->at = end + 1;
    ++state_->line;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    value = ParseJson(line, state_->where, state_->line);
    return true;
  }
  return false;
}

}  // namespace orchard::io
