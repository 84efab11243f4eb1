#include "io/text/json_fields.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace orchard::text {

using nlohmann::json;

void JsonField::Fail(const std::string& what, const std::string& remedy) const {
  throw DataError(what, where_, remedy);
}

void JsonField::ExpectObject() const {
  if (!value_->is_object()) Fail("expected a JSON object");
}

bool JsonField::Has(const char* key) const {
  ExpectObject();
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

JsonField JsonField::At(const char* key) const {
  if (!Has(key)) Fail(std::string("missing key \"") + key + "\"");
  return {*value_->find(key), where_ + "." + key};
}

size_t JsonField::ArraySize() const {
  if (!value_->is_array()) Fail("expected a JSON array");
  return value_->size();
}

JsonField JsonField::Item(size_t index) const {
  if (index >= ArraySize()) Fail("the array is too short");
  return {(*value_)[index], where_ + "[" + std::to_string(index) + "]"};
}

std::string JsonField::String() const {
  if (!value_->is_string()) Fail("expected a string");
  return value_->get<std::string>();
}

bool JsonField::Bool() const {
  if (!value_->is_boolean()) Fail("expected true or false");
  return value_->get<bool>();
}

int64_t JsonField::Integer(int64_t lowest, int64_t highest) const {
  // A value above 2^63 - 1 arrives as unsigned and would wrap.
  const bool fits = value_->is_number_integer() &&
                    !(value_->is_number_unsigned() && value_->get<uint64_t>() > INT64_MAX);
  const int64_t number = fits ? value_->get<int64_t>() : 0;
  if (!fits || number < lowest || number > highest) {
    Fail("expected an integer from " + std::to_string(lowest) + " to " + std::to_string(highest));
  }
  return number;
}

std::string JsonField::String(const char* key, std::string_view fallback) const {
  return Has(key) ? At(key).String() : std::string(fallback);
}

bool JsonField::Bool(const char* key, bool fallback) const {
  return Has(key) ? At(key).Bool() : fallback;
}

int64_t JsonField::Integer(const char* key, int64_t lowest, int64_t highest,
                           int64_t fallback) const {
  return Has(key) ? At(key).Integer(lowest, highest) : fallback;
}

}  // namespace orchard::text
