// One declaration per option. An options struct lists its fields once; flags, TOML keys,
// --print-config, the docs table, shell completion and the nearest-name error all come from that
// list (docs/conventions.md).
//
//   struct TrainOptions {
//     int64_t steps = 2000;
//     Schedule schedule = Schedule::kCosine;
//     void Fields(cli::FieldVisitor& f) {
//       f("steps", steps, "optimiser steps", cli::AtLeast(1));
//       f("schedule", schedule, "shape of the learning rate");   // needs EnumNames(Schedule)
//     }
//   };
//
// `train.steps` is then --steps, --set train.steps=..., and [train] steps = ... of a file. A key
// uses snake_case; its flag is the same in kebab-case. Where two sections of a command share a key,
// both flags carry their section: --train-steps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace orchard::cli {

// How an integer may be written besides its digits.
enum class Scale {
  kPlain,  // 1000
  kBytes,  // 5GB (10^9 bytes each), 512MiB (2^20 bytes each)
  kCount,  // 1.3B, 350M, 20K
};

// What a value must satisfy, and how it is given. Bounds apply to numbers and to every element of a
// list of numbers. NaN and infinities are never legal.
struct Constraint {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
  bool lower_open = false;  // lower itself is not allowed
  bool upper_open = false;
  Scale scale = Scale::kPlain;
  bool required = false;              // no default: a flag, --set or a file must give it
  char letter = 0;                    // 'o': the flag can be written -o too
  const char* suggestions = nullptr;  // of a free text, separated by spaces; for completion
};

constexpr Constraint AtLeast(double lower) { return {.lower = lower}; }
constexpr Constraint Positive() { return {.lower = 0, .lower_open = true}; }
constexpr Constraint Between(double lower, double upper) {
  return {.lower = lower, .upper = upper};
}
// lower <= value < upper: a dropout rate, a momentum.
constexpr Constraint Within(double lower, double upper) {
  return {.lower = lower, .upper = upper, .upper_open = true};
}
// A size in bytes, an int64_t: 5GB, 512MiB, 1000.
constexpr Constraint Bytes(double lower = 0) { return {.lower = lower, .scale = Scale::kBytes}; }
// A large count, an int64_t: 1.3B, 350M, 1000.
constexpr Constraint Count(double lower = 0) { return {.lower = lower, .scale = Scale::kCount}; }
// Modifiers: `Required(AtLeast(1))`, `Letter('o')`.
constexpr Constraint Required(Constraint constraint = {}) {
  constraint.required = true;
  return constraint;
}
constexpr Constraint Letter(char letter, Constraint constraint = {}) {
  constraint.letter = letter;
  return constraint;
}

// Enumerations bind by a table of their names: write one for each enumeration, next to it.
//
//   inline constexpr cli::EnumName<Schedule> kScheduleNames[] = {{"cosine", Schedule::kCosine},
//   ...}; constexpr auto EnumNames(Schedule) { return std::span(kScheduleNames); }   // found by
//   argument-dependent lookup
template <class E>
struct EnumName {
  const char* name;
  E value;
};

// An enumeration, or an optional one, with its type erased.
struct EnumRef {
  static constexpr size_t kUnset = std::numeric_limits<size_t>::max();
  std::vector<std::string> names;
  std::function<size_t()>
      get;  // index into names; kUnset: an optional without a value, or a value without a name
  std::function<void(size_t)> set;
};

using FieldRef =
    std::variant<bool*, int64_t*, double*, std::string*, std::filesystem::path*,
                 std::optional<bool>*, std::optional<int64_t>*, std::optional<double>*,
                 std::optional<std::string>*, std::optional<std::filesystem::path>*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*,
                 std::vector<std::filesystem::path>*, EnumRef>;

template <class T>
struct OptionalElement {
  using Type = T;
  static constexpr bool kOptional = false;
};
template <class T>
struct OptionalElement<std::optional<T>> {
  using Type = T;
  static constexpr bool kOptional = true;
};

// Erases the type of one field.
template <class T>
FieldRef MakeFieldRef(T& value) {
  using Element = typename OptionalElement<T>::Type;
  if constexpr (std::is_enum_v<Element>) {
    const auto table = EnumNames(Element{});
    EnumRef ref;
    for (const auto& entry : table) ref.names.emplace_back(entry.name);
    ref.get = [&value, table] {
      if constexpr (OptionalElement<T>::kOptional) {
        if (!value) return EnumRef::kUnset;
      }
      for (size_t i = 0; i < table.size(); ++i) {
        if (value == table[i].value) return i;
      }
      return EnumRef::kUnset;
    };
    ref.set = [&value, table](size_t i) { value = table[i].value; };
    return ref;
  } else {
    return &value;
  }
}

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  // An option: `key` in snake_case, one line of help without a full stop. An unset std::optional
  // has no default.
  template <class T>
  void operator()(const char* key, T& value, const char* help, Constraint constraint = {}) {
    Visit(key, MakeFieldRef(value), help, constraint);
  }

  // An argument given by place (`expand SRC DST`). Lists take all that is left. It is a key of
  // files, too.
  template <class T>
  void Positional(const char* key, T& value, const char* help, bool required = true) {
    VisitPositional(key, MakeFieldRef(value), help, required);
  }

  // A nested options struct: its keys live in the TOML table `name`.
  template <class Options>
  void Section(const char* name, Options& options) {
    Enter(name);
    options.Fields(*this);
    Leave();
  }

 protected:
  virtual void Visit(const char* key, FieldRef value, const char* help,
                     const Constraint& constraint) = 0;
  virtual void VisitPositional(const char* key, FieldRef value, const char* help,
                               bool required) = 0;
  virtual void Enter(const char* section) = 0;
  virtual void Leave() = 0;
};

}  // namespace orchard::cli
