// JSON Lines: one JSON value per line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace orchard::io {

// Reads a file line by line. Blank lines are skipped, CR LF is understood, the last line needs no
// end.
class JsonLinesReader {
 public:
  explicit JsonLinesReader(const std::filesystem::path& path);  // throws DataError
  ~JsonLinesReader();
  JsonLinesReader(JsonLinesReader&&) noexcept;

  // The next value, or false at the end. Throws DataError naming file:line:column.
  bool Next(nlohmann::json& value);
  int64_t line() const;  // of the value that came last, from 1

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::io
