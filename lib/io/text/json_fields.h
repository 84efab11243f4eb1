// Reading a tokenizer.json: every access names the place, so that a message points at the damaged
// key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace orchard::text {

// A JSON value and where it stands ("tokenizer.json: model.vocab"). All functions throw DataError
// that names the place.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, std::string where)
      : value_(&value), where_(std::move(where)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& where() const { return where_; }

  bool Has(const char* key) const;      // present and not null
  JsonField At(const char* key) const;  // must be present and not null
  JsonField Item(size_t index) const;   // must be an array that is long enough
  size_t ArraySize() const;             // must be an array
  void ExpectObject() const;

  std::string String() const;
  bool Bool() const;
  int64_t Integer(int64_t lowest, int64_t highest) const;

  std::string String(const char* key, std::string_view fallback) const;
  bool Bool(const char* key, bool fallback) const;
  int64_t Integer(const char* key, int64_t lowest, int64_t highest, int64_t fallback) const;
  std::string Type() const { return At("type").String(); }

  [[noreturn]] void Fail(const std::string& what, const std::string& remedy = "") const;

 private:
  const nlohmann::json* value_;
  std::string where_;
};

// Nested "Sequence" elements deeper than this are refused.
inline constexpr int kMaxNesting = 16;

}  // namespace orchard::text
