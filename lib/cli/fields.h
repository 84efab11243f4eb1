// One declaration per option. An options struct lists its fields once; flags, TOML keys, --print-config, the docs table, shell
// completion and the nearest-name error all come from that list (docs/conventions.md).
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
// `train.steps` is then --steps, --set train.steps=..., and [train] steps = ... of a file. A key uses snake_case; its flag is the
// same in kebab-case. Where two sections of a command share a key, both flags carry their section: --train-steps.
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

// What a value must satisfy. Bounds apply to numbers and to every element of a list of numbers.
struct Constraint {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
  bool lower_open = false;  // lower itself is not allowed
  bool upper_open = false;
};

constexpr Constraint AtLeast(double lower) { return {.lower = lower}; }
constexpr Constraint Positive() { return {.lower = 0, .lower_open = true}; }
constexpr Constraint Between(double lower, double upper) {
  return {.lower = lower, .upper = upper};
}

// Enumerations bind by a table of their names: specialise for each enumeration, next to it.
//
//   inline constexpr cli::EnumName<Schedule> kScheduleNames[] = {{"cosine", Schedule::kCosine}, ...};
//   constexpr auto EnumNames(Schedule) { return std::span(kScheduleNames); }   // found by argument-dependent lookup
template <class E>
struct EnumName {
  const char* name;
  E value;
};

// An enumeration with its type erased.
struct EnumRef {
  std::vector<std::string> names;
  std::function<size_t()> get;       // index into names
  std::function<void(size_t)> set;
};

using FieldRef =
    std::variant<bool*, int64_t*, double*, std::string*, std::filesystem::path*,
                 std::optional<bool>*, std::optional<int64_t>*, std::optional<double>*,
                 std::optional<std::string>*, std::vector<int64_t>*, std::vector<double>*,
                 std::vector<std::string>*, EnumRef>;

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  // An option: `key` in snake_case, one line of help without a full stop.
  template <class T>
  void operator()(const char* key, T& value, const char* help, Constraint constraint = {}) {
    if constexpr (std::is_enum_v<T>) {
      const auto table = EnumNames(T{});
      EnumRef ref;
      for (const auto& entry : table) ref.names.emplace_back(entry.name);
      ref.get = [&value, table] {
        for (size_t i = 0; i < table.size(); ++i) {
          if (table[i].value == value) return i;
        }
        return size_t{0};
      };
      ref.set = [&value, table](size_t i) { value = table[i].value; };
      Visit(key, FieldRef(std::move(ref)), help, constraint);
    } else {
      Visit(key, FieldRef(&value), help, constraint);
    }
  }

  // A required argument given by place (`expand SRC DST`), or an optional one. Lists take all that is left.
  template <class T>
  void Positional(const char* key, T& value, const char* help, bool required = true) {
    VisitPositional(key, FieldRef(&value), help, required);
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
