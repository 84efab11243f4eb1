// Typed access to the keys of a config.json, with errors that name the key.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace orchard::nn {

class ConfigReader {
 public:
  // `where` names the object in messages, e.g. "config.json" or "config.json: rope_parameters".
  // Throws DataError when `object` is not an object.
  ConfigReader(const nlohmann::ordered_json& object, std::string where);

  bool Has(const char* key) const;  // present and not null

  // Required values; throw DataError when absent, null or of another type. Sizes must be >= 1.
  int64_t Size(const char* key) const;

  // Values with a default for absent and null keys. Throw DataError when of another type or not
  // finite.
  int64_t Int(const char* key, int64_t fallback) const;
  double Real(const char* key, double fallback) const;
  bool Bool(const char* key, bool fallback) const;
  std::string String(const char* key, const std::string& fallback) const;
  std::optional<ConfigReader> Object(const char* key) const;
  // Height and width: one number for both, or a list of two.
  std::pair<int64_t, int64_t> Extent(const char* key, int64_t fallback) const;

  // Throws ImpossibleError unless the key is absent, null or has the one value that is supported.
  void Only(const char* key, bool supported) const;
  void Only(const char* key, const char* supported) const;
  void Absent(const char* key) const;
  // Throws the ImpossibleError of a setting that the forward pass does not know.
  [[noreturn]] void Unsupported(const char* key, const std::string& remedy = "") const;

  const nlohmann::ordered_json& json() const { return *object_; }
  const std::string& where() const { return where_; }

 private:
  const nlohmann::ordered_json* object_;
  std::string where_;
};

}  // namespace orchard::nn
