// Values of fields: read from command-line text or typed TOML, checked against the constraint,
// written back exactly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/field_table.h"

namespace orchard::cli {

// Text of the command line: its type is what the field makes of it.
struct Raw {
  std::string text;
};
// One value as a source gives it, and the place that errors name: "--steps", "run.toml:3:9".
struct Given {
  std::variant<Raw, bool, int64_t, double, std::string> value;
  std::string where;
};

// Puts values into the field: exactly one, or any number for a list. Throws UsageError with the
// place and the legal values; the field then keeps what it had.
void Assign(Field& field, const std::vector<Given>& values, Source source);

// Splits "1e-3,3e-4" into its elements; `\,` is a comma of an element.
std::vector<std::string> SplitList(std::string_view text);

// The values that are legal, as a phrase: "an integer >= 1", "one of cosine, linear".
std::string LegalValues(const Field& field);

// As it would be typed on the command line; empty for an unset optional, an empty path and an empty
// list.
std::string FormatText(const Field& field);

// As a TOML value that reads back exactly; empty for an unset optional and an empty path.
std::string FormatToml(const Field& field);

// Throws an internal Error when the default breaks the field's own constraint.
void CheckDefault(const Field& field);

// The shortest text that reads back as the same double.
std::string FormatDouble(double value);

// A TOML basic string, quotes included. Throws UsageError when `text` is not UTF-8 (TOML cannot
// hold it).
std::string QuoteToml(std::string_view text);

}  // namespace orchard::cli
