#include "cli/value.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "cli/nearest.h"
#include "cli/quantity.h"
#include "cli/utf8.h"

namespace orchard::cli {
namespace {

template <class T>
struct Element {  // what one value of a field is: the T of T, optional<T> and vector<T>
  using Type = T;
  static constexpr bool kList = false, kOptional = false;
};
template <class T>
struct Element<std::optional<T>> {
  using Type = T;
  static constexpr bool kList = false, kOptional = true;
};
template <class T>
struct Element<std::vector<T>> {
  using Type = T;
  static constexpr bool kList = true, kOptional = false;
};

[[noreturn]] void Fail(const Given& given, const Field& field, const std::string& what) {
  throw UsageError(what, given.where, "use " + LegalValues(field));
}

std::string Shown(const Given& given) {
  struct {
    std::string operator()(const Raw& raw) const { return "'" + raw.text + "'"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return FormatDouble(value); }
    std::string operator()(const std::string& value) const { return "'" + value + "'"; }
  } show;
  return "value " + std::visit(show, given.value);
}

// Text of either kind: Raw of the command line or a TOML string.
const std::string* Text(const Given& given) {
  if (const Raw* raw = std::get_if<Raw>(&given.value)) return &raw->text;
  return std::get_if<std::string>(&given.value);
}

template <class Number>
bool InRange(Number value, const Constraint& c) {
  // long double holds every int64_t and every double.
  const auto x = static_cast<long double>(value);
  return (c.lower_open ? x > c.lower : x >= c.lower) && (c.upper_open ? x < c.upper : x <= c.upper);
}

void Read(const Given& given, const Field& field, bool& value) {
  const Raw* raw = std::get_if<Raw>(&given.value);
  if (const bool* typed = std::get_if<bool>(&given.value)) {
    value = *typed;
  } else if (raw && (raw->text == "true" || raw->text == "1")) {
    value = true;
  } else if (raw && (raw->text == "false" || raw->text == "0")) {
    value = false;
  } else {
    Fail(given, field, Shown(given) + " is not a truth value");
  }
}

void Read(const Given& given, const Field& field, int64_t& value) {
  const Constraint& constraint = field.constraint;
  const std::string* text = Text(given);
  if (text && !std::holds_alternative<Raw>(given.value) && constraint.scale == Scale::kPlain) {
    Fail(given, field, Shown(given) + " is a text, not an integer");
  }
  int64_t number = 0;
  if (const int64_t* typed = std::get_if<int64_t>(&given.value)) {
    number = *typed;
  } else if (text) {
    switch (ParseQuantity(*text, constraint.scale, number)) {
      case QuantityStatus::kGood:
        break;
      case QuantityStatus::kNotANumber:
        Fail(given, field, Shown(given) + " is not an integer");
      case QuantityStatus::kNotWhole:
        Fail(given, field, Shown(given) + " is not a whole number");
      case QuantityStatus::kOutOfRange:
        Fail(given, field, Shown(given) + " is too large for 64 bits");
    }
  } else {
    Fail(given, field, Shown(given) + " is not an integer");
  }
  if (!InRange(number, constraint)) Fail(given, field, Shown(given) + " is out of range");
  value = number;
}

void Read(const Given& given, const Field& field, double& value) {
  double number = 0;
  if (const double* typed = std::get_if<double>(&given.value)) {
    number = *typed;
  } else if (const int64_t* whole = std::get_if<int64_t>(&given.value)) {
    number = static_cast<double>(*whole);
  } else if (const Raw* raw = std::get_if<Raw>(&given.value)) {
    std::string_view text = raw->text;
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::invalid_argument || end != text.data() + text.size()) {
      Fail(given, field, Shown(given) + " is not a number");
    }
    if (error != std::errc()) Fail(given, field, Shown(given) + " is too large or too small");
  } else {
    Fail(given, field, Shown(given) + " is not a number");
  }
  if (!std::isfinite(number)) Fail(given, field, Shown(given) + " is not a finite number");
  if (!InRange(number, field.constraint)) {
    Fail(given, field, Shown(given) + " is out of range");
  }
  value = number;
}

void Read(const Given& given, const Field& field, std::string& value) {
  const std::string* text = Text(given);
  if (!text) Fail(given, field, Shown(given) + " is not a text");
  if (!IsUtf8(*text)) Fail(given, field, "the value is not UTF-8");
  if (text->find('\0') != std::string::npos) Fail(given, field, "the value holds a zero character");
  value = *text;
}

void Read(const Given& given, const Field& field, std::filesystem::path& value) {
  std::string text;
  Read(given, field, text);
  if (text.empty()) Fail(given, field, "the path is empty");
  value = text;
}

size_t ReadEnum(const Given& given, const Field& field, const std::vector<std::string>& names) {
  const std::string* text = Text(given);
  for (size_t i = 0; text && i < names.size(); ++i) {
    if (names[i] == *text) return i;
  }
  const std::string nearest = text ? Nearest(*text, names) : "";
  throw UsageError(
      "unknown " + Shown(given), given.where,
      (nearest.empty() ? "" : DidYouMean(nearest) + " ") + "use " + LegalValues(field));
}

std::string NumberPhrase(const char* noun, const Constraint& c, auto format) {
  const bool lower = std::isfinite(c.lower), upper = std::isfinite(c.upper);
  if (lower && upper) {
    return std::string(noun) + " in " + (c.lower_open ? "(" : "[") + format(c.lower) + ", " +
           format(c.upper) + (c.upper_open ? ")" : "]");
  }
  if (lower) return std::string(noun) + (c.lower_open ? " > " : " >= ") + format(c.lower);
  if (upper) return std::string(noun) + (c.upper_open ? " < " : " <= ") + format(c.upper);
  return noun;
}

std::string Bound(double value) {
  std::string text = FormatDouble(value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string Phrase(const Constraint& c, const int64_t*) {
  if (c.scale == Scale::kPlain) return NumberPhrase("an integer", c, Bound);
  const auto format = [&c](double bound) {
    return FormatQuantity(static_cast<int64_t>(bound), c.scale);
  };
  if (c.scale == Scale::kBytes) return NumberPhrase("a size such as 5GB or 512MiB", c, format);
  return NumberPhrase("a count such as 1.3B or 350M", c, format);
}
std::string Phrase(const Constraint& c, const double*) {
  return NumberPhrase("a number", c, Bound);
}
std::string Phrase(const Constraint&, const bool*) { return "true or false"; }
std::string Phrase(const Constraint&, const std::string*) { return "a text"; }
std::string Phrase(const Constraint&, const std::filesystem::path*) { return "a path"; }

std::string Format(bool value, const Constraint&) { return value ? "true" : "false"; }
std::string Format(int64_t value, const Constraint& c) { return FormatQuantity(value, c.scale); }
std::string Format(double value, const Constraint&) { return FormatDouble(value); }
std::string Format(const std::string& value, const Constraint&) { return value; }
std::string Format(const std::filesystem::path& value, const Constraint&) { return value.string(); }

std::string Toml(bool value, const Constraint& c) { return Format(value, c); }
std::string Toml(double value, const Constraint& c) { return Format(value, c); }
std::string Toml(const std::string& value, const Constraint&) { return QuoteToml(value); }
std::string Toml(const std::filesystem::path& value, const Constraint&) {
  return QuoteToml(value.string());
}
std::string Toml(int64_t value, const Constraint& c) {
  const std::string text = Format(value, c);
  return text == std::to_string(value) ? text : QuoteToml(text);
}

// No path is empty: where a default is, there is no path.
bool IsUnset(const std::filesystem::path& path) { return path.empty(); }
template <class T>
bool IsUnset(const T&) {
  return false;
}

// The values of a field, each formatted: none for one that is unset, one for a scalar.
template <class FormatOne>
std::vector<std::string> FormatAll(const Field& field, FormatOne format) {
  std::vector<std::string> texts;
  std::visit(
      [&](const auto& ref) {
        if constexpr (std::is_same_v<std::decay_t<decltype(ref)>, EnumRef>) {
          const size_t index = ref.get();
          if (index != EnumRef::kUnset) texts.push_back(format(ref.names[index], field.constraint));
        } else {
          using E = Element<std::decay_t<decltype(*ref)>>;
          if constexpr (E::kList) {
            for (const auto& element : *ref) texts.push_back(format(element, field.constraint));
          } else if constexpr (E::kOptional) {
            if (*ref) texts.push_back(format(**ref, field.constraint));
          } else if (!IsUnset(*ref)) {
            texts.push_back(format(*ref, field.constraint));
          }
        }
      },
      field.value);
  return texts;
}

std::string Join(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

}  // namespace

void Assign(Field& field, const std::vector<Given>& values, Source source) {
  std::visit(
      [&](const auto& ref) {
        if constexpr (std::is_same_v<std::decay_t<decltype(ref)>, EnumRef>) {
          ref.set(ReadEnum(values.at(0), field, ref.names));
        } else {
          using E = Element<std::decay_t<decltype(*ref)>>;
          std::vector<typename E::Type> elements;
          for (const Given& given : values) {
            typename E::Type element{};
            Read(given, field, element);
            elements.push_back(std::move(element));
          }
          if constexpr (E::kList) {
            *ref = std::move(elements);
          } else {
            *ref = elements.at(0);
          }
        }
      },
      field.value);
  field.source = source;
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> elements;
  if (text.empty()) return elements;
  elements.emplace_back();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',') {
      elements.back() += text[++i];
    } else if (text[i] == ',') {
      elements.emplace_back();
    } else {
      elements.back() += text[i];
    }
  }
  return elements;
}

std::string LegalValues(const Field& field) {
  if (const EnumRef* ref = field.Enum()) return "one of " + Join(ref->names, ", ");
  return std::visit(
      [&](const auto& ref) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(ref)>, EnumRef>) {
          return "";
        } else {
          using E = Element<std::decay_t<decltype(*ref)>>;
          const std::string phrase =
              Phrase(field.constraint, static_cast<const typename E::Type*>(nullptr));
          return E::kList ? "a list; each element " + phrase : phrase;
        }
      },
      field.value);
}

std::string FormatText(const Field& field) {
  return Join(FormatAll(field, [](const auto& v, const Constraint& c) { return Format(v, c); }),
              ",");
}

std::string FormatToml(const Field& field) {
  const std::vector<std::string> texts =
      FormatAll(field, [](const auto& v, const Constraint& c) { return Toml(v, c); });
  return field.IsList() ? "[" + Join(texts, ", ") + "]" : Join(texts, "");
}

void CheckDefault(const Field& field) {
  bool good = true;
  std::visit(
      [&](const auto& ref) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(ref)>, EnumRef>) {
          using E = Element<std::decay_t<decltype(*ref)>>;
          const auto check = [&](const auto& value) {
            if constexpr (std::is_same_v<typename E::Type, int64_t> ||
                          std::is_same_v<typename E::Type, double>) {
              good = good && std::isfinite(static_cast<double>(value)) &&
                     InRange(value, field.constraint);
            }
          };
          if constexpr (E::kList) {
            for (const auto& element : *ref) check(element);
          } else if constexpr (E::kOptional) {
            if (*ref) check(**ref);
          } else {
            check(*ref);
          }
        }
      },
      field.value);
  if (!good) {
    throw Error(ExitCode::kInternal,
                "the default " + FormatText(field) + " of an option is illegal", field.Path(),
                "make it " + LegalValues(field));
  }
}

std::string FormatDouble(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, error == std::errc() ? end : buffer);
  // "1" would be an integer, "1e+06" and "1e-05" are floats already.
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string QuoteToml(std::string_view text) {
  if (!IsUtf8(text)) {
    throw UsageError("a value is not UTF-8", "", "rename the file, or use an ASCII path to it");
  }
  std::string quoted = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      static constexpr char kDigits[] = "0123456789abcdef";
      quoted += "\\u00";
      quoted += kDigits[byte >> 4];
      quoted += kDigits[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace orchard::cli
