#include "io/json_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/json_position.h"
#include "io/mapped_file.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

using nlohmann::json;
constexpr size_t kMaxDepth = 200;

// Builds the tree from events. nlohmann's own builder keeps the last of two equal keys and has no
// bound on nesting.
class TreeHandler {
 public:
  TreeHandler(std::string_view text, const std::string& where, int64_t first_line)
      : at(text.data()), begin_(text.data()), where_(where), first_line_(first_line) {}

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(int64_t value) { return Add(value); }
  bool number_unsigned(uint64_t value) { return Add(value); }
  bool number_float(double value, const std::string&) { return Add(value); }
  bool string(std::string& value) { return Add(std::move(value)); }
  bool binary(json::binary_t& value) { return Add(std::move(value)); }
  bool start_object(size_t) { return Open(json::object()); }
  bool start_array(size_t) { return Open(json::array()); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(std::string& value) {
    const auto [place, added] = open_.back()->get_ref<json::object_t&>().emplace(value, nullptr);
    if (!added) Fail("the key " + Quoted(value) + " appears twice in one object");
    target_ = &place->second;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    Fail("not valid JSON (" + Printable(JsonReason(error.what())) + ")");
  }

  const char* at;  // where the parser stands; kept by JsonPosition
  json root;

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    const char* last = at > begin_ ? at - 1 : begin_;
    const auto line = first_line_ + std::count(begin_, last, '\n');
    const char* start = last;
    while (start > begin_ && start[-1] != '\n') --start;
    throw DataError(what, fmt::format("{}:{}:{}", where_, line, last - start + 1));
  }
  json* Add(json value) {
    if (open_.empty()) return &(root = std::move(value));
    if (!open_.back()->is_array()) return &(*target_ = std::move(value));
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool Open(json value) {
    if (open_.size() == kMaxDepth) Fail("nests more than 200 deep");
    open_.push_back(Add(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const char* begin_;
  const std::string& where_;
  int64_t first_line_;
  std::vector<json*> open_;  // containers being filled; stable, since a container only grows while
                             // it is the innermost
  json* target_ = nullptr;   // the member whose key came last
};

}  // namespace

json ParseJson(std::string_view text, const std::string& where, int64_t first_line) {
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    throw DataError("zero byte in JSON", fmt::format("{}: offset {}", where, zero));
  }
  TreeHandler handler(text, where, first_line);
  json::sax_parse(JsonPosition(text.data(), &handler.at),
                  JsonPosition(text.data() + text.size(), &handler.at), &handler);
  return std::move(handler.root);
}

json ReadJsonFile(const std::filesystem::path& path, uint64_t max_bytes) {
  const MappedFile file(path);
  if (file.bytes().size() > max_bytes) {
    throw DataError(fmt::format("JSON file of {} bytes is over the limit of {}",
                                file.bytes().size(), max_bytes),
                    path.string());
  }
  return ParseJson({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
                   path.string());
}

}  // namespace orchard::io
