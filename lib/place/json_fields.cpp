#include "place/json_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: beyond, a double may not be what was written

}  // namespace

void JsonAt::Fail(const std::string& what) const {
  throw DataError(what, path_.empty() ? file_ : file_ + ": " + path_);
}

bool JsonAt::Has(const char* key) const { return value_->is_object() && value_->contains(key); }

JsonAt JsonAt::At(const char* key) const {
  if (!value_->is_object()) Fail("an object is expected");
  const auto found = value_->find(key);
  if (found == value_->end()) Fail(fmt::format("the key '{}' is missing", key));
  return {*found, file_, path_.empty() ? std::string(key) : path_ + "." + key};
}

JsonAt JsonAt::At(size_t index) const {
  return {(*value_)[index], file_, fmt::format("{}[{}]", path_, index)};
}

size_t JsonAt::ArraySize() const {
  if (!value_->is_array()) Fail("an array is expected");
  return value_->size();
}

double JsonAt::Number() const {
  if (!value_->is_number()) Fail("a number is expected");
  const auto number = value_->get<double>();
  if (!std::isfinite(number)) Fail("the number is not finite");
  return number;
}

int64_t JsonAt::Integer() const {
  if (value_->is_number_unsigned()) {
    const auto number = value_->get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) Fail(fmt::format("{} does not fit", number));
    return static_cast<int64_t>(number);
  }
  if (value_->is_number_integer()) return value_->get<int64_t>();
  const double number = Number();
  if (number != std::floor(number) || std::abs(number) > kExact)
    Fail(fmt::format("{} is not a whole number", number));
  return static_cast<int64_t>(number);
}

int64_t JsonAt::Bytes() const {
  const int64_t bytes = Integer();
  if (bytes < 0) Fail(fmt::format("a size is negative ({})", bytes));
  return bytes;
}

std::string JsonAt::Text() const {
  if (!value_->is_string()) Fail("text is expected");
  return value_->get<std::string>();
}

bool JsonAt::Truth() const {
  if (value_->is_boolean()) return value_->get<bool>();
  const int64_t number = Integer();
  if (number != 0 && number != 1) Fail("true or false is expected");
  return number == 1;
}

}  // namespace orchard::place
