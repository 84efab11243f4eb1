// The fields of one command as a table: everything that is shown, parsed or written about options
// is read from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/fields.h"

namespace orchard::cli {

// The section of the options that every command has.
inline constexpr char kCommonSection[] = "common";

// Who gave a field its value; a later one wins.
enum class Source { kDefault, kFile, kSet, kFlag };

struct Field {
  std::string section;  // "train"; empty: the top of the file
  std::string key;      // "learning_rate"
  std::string flag;     // "--learning-rate"; the name in capitals of a positional: "SRC"
  FieldRef value;
  std::string help;
  Constraint constraint;
  std::string default_text;  // as on the command line; empty: none
  bool positional = false;
  bool in_file = true;  // false: a flag only (--json, --force), part of how a program is called and
                        // not of what it does
  Source source = Source::kDefault;

  std::string Path() const { return section.empty() ? key : section + "." + key; }
  bool IsBool() const;
  // "--no-shuffle" of the truth value --shuffle; empty where the flag is a negation itself
  // (--no-progress).
  std::string Negation() const;
  bool IsList() const;
  bool IsPath() const;
  const EnumRef* Enum() const;  // nullptr: not an enumeration
};

class FieldTable : public FieldVisitor {
 public:
  // Adds the fields of an options struct. Each default must satisfy its own constraint, and keys
  // must differ: throws an internal Error otherwise, at every start of the program, so that it
  // cannot be overlooked.
  template <class Options>
  void Add(Options& options) {
    options.Fields(*this);
  }

  // Gives flags their names, once all fields are there: the key's, or section and key where two
  // sections share a key.
  void NameFlags();

  std::vector<Field>& fields() { return fields_; }
  const std::vector<Field>& fields() const { return fields_; }
  // Sections in order of appearance; "" first.
  std::vector<std::string> Sections() const;
  // The field of a key of a file, "train.steps". nullptr: there is none.
  Field* Find(std::string_view path);
  // The path most like `path`, or empty.
  std::string NearestPath(std::string_view path) const;

  // Fields added from here on are flags only.
  void FlagsOnly() { in_file_ = false; }

 protected:
  void Visit(const char* key, FieldRef value, const char* help,
             const Constraint& constraint) override;
  void VisitPositional(const char* key, FieldRef value, const char* help, bool required) override;
  void Enter(const char* section) override;
  void Leave() override;

 private:
  void AddField(Field field);

  std::vector<Field> fields_;
  std::string section_;
  bool in_file_ = true;
};

}  // namespace orchard::cli
