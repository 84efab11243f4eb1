// Typed access to JSON that others wrote: every failure is a DataError with file and JSON path.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace orchard::place {

// A place in a JSON document: "graph.json: ops[3].us".
class JsonAt {
 public:
  JsonAt(const nlohmann::json& value, std::string file, std::string path = "")
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  const std::string& file() const { return file_; }

  bool Has(const char* key) const;
  JsonAt At(const char* key) const;  // throws when absent or this is no object
  JsonAt At(size_t index) const;
  size_t ArraySize() const;  // throws when this is no array

  double Number() const;
  int64_t Integer() const;  // whole numbers, also written as 4.0
  int64_t Bytes() const;    // a whole number, >= 0
  std::string Text() const;
  bool Truth() const;  // true, false, 0 or 1

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  const nlohmann::json* value_;
  std::string file_, path_;
};

}  // namespace orchard::place
