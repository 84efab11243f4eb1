#include "nn/config_reader.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace orchard::nn {

using Json = nlohmann::ordered_json;

namespace {

const Json* Find(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string where)
    : object_(&object), where_(std::move(where)) {
  if (!object.is_object()) throw DataError("not a JSON object", where_);
}

bool ConfigReader::Has(const char* key) const { return Find(*object_, key) != nullptr; }

int64_t ConfigReader::Size(const char* key) const {
  if (!Has(key)) throw DataError("missing key", where_ + ": " + key);
  const int64_t value = Int(key, 0);
  if (value < 1) throw DataError("must be at least 1", where_ + ": " + key);
  return value;
}

int64_t ConfigReader::Int(const char* key, int64_t fallback) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return fallback;
  if (!value->is_number_integer()) throw DataError("not an integer", where_ + ": " + key);
  return value->get<int64_t>();
}

double ConfigReader::Real(const char* key, double fallback) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    throw DataError("not a number", where_ + ": " + key);
  }
  return value->get<double>();
}

bool ConfigReader::Bool(const char* key, bool fallback) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) throw DataError("not true or false", where_ + ": " + key);
  return value->get<bool>();
}

std::string ConfigReader::String(const char* key, const std::string& fallback) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) throw DataError("not a string", where_ + ": " + key);
  return value->get<std::string>();
}

std::optional<ConfigReader> ConfigReader::Object(const char* key) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return std::nullopt;
  return ConfigReader(*value, where_ + ": " + key);
}

std::pair<int64_t, int64_t> ConfigReader::Extent(const char* key, int64_t fallback) const {
  const Json* value = Find(*object_, key);
  if (value == nullptr) return {fallback, fallback};
  const bool pair = value->is_array() && value->size() == 2 && (*value)[0].is_number_integer() &&
                    (*value)[1].is_number_integer();
  if (!pair && !value->is_number_integer()) {
    throw DataError("neither a number nor a pair of numbers", where_ + ": " + key);
  }
  const auto extent = pair ? std::pair((*value)[0].get<int64_t>(), (*value)[1].get<int64_t>())
                           : std::pair(value->get<int64_t>(), value->get<int64_t>());
  if (extent.first < 1 || extent.second < 1) {
    throw DataError("must be at least 1", where_ + ": " + key);
  }
  return extent;
}

void ConfigReader::Only(const char* key, bool supported) const {
  if (Bool(key, supported) != supported) Unsupported(key);
}

void ConfigReader::Only(const char* key, const char* supported) const {
  if (String(key, supported) != supported) Unsupported(key);
}

void ConfigReader::Absent(const char* key) const {
  if (Has(key)) Unsupported(key);
}

void ConfigReader::Unsupported(const char* key, const std::string& remedy) const {
  const Json* value = Find(*object_, key);
  std::string text = value == nullptr ? "null" : value->dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw ImpossibleError("unsupported setting " + std::string(key) + " = " + text, where_, remedy);
}

}  // namespace orchard::nn
