#include "run/case_store.h"

#include <fmt/format.h>

#include <cctype>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/json_file.h"

namespace orchard::run {

using Json = nlohmann::ordered_json;

CaseStore::CaseStore(std::filesystem::path directory, const std::string& key)
    : directory_(std::move(directory)), key_(fmt::format("{:016x}", Hash64(key))) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), directory_.string());
}

CaseStore CaseStore::OfSuite(const std::filesystem::path& cases,
                             const std::optional<std::filesystem::path>& out, bool resume,
                             const std::string& key) {
  if (!cases.empty()) return {cases, key};
  if (!out) return {};
  const std::filesystem::path folder = *out / "cases";
  if (!resume) std::filesystem::remove_all(folder);
  return {folder, key};
}

// Names hold slashes, commas and blanks; a hash keeps those apart that look alike as files.
std::filesystem::path CaseStore::PathOf(const std::string& name) const {
  std::string file;
  for (char c : name.substr(0, 80)) file += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return directory_ / fmt::format("{}-{:08x}.json", file, Hash64(name) & 0xffffffff);
}

std::optional<Numbers> CaseStore::Find(const std::string& name) const {
  if (directory_.empty()) return std::nullopt;
  const std::filesystem::path path = PathOf(name);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const nlohmann::json json = io::ReadJsonFile(path);
  try {
    if (json.at("case").get<std::string>() != name)
      throw DataError("the result of another case", path.string());
    if (json.at("key").get<std::string>() != key_) {
      throw UsageError("a result of another configuration", path.string(),
                       "name another folder, or remove this one");
    }
    return json.at("numbers").get<Numbers>();
  } catch (const nlohmann::json::exception&) {
    throw DataError("not the result of a case", path.string(), "remove it to run the case again");
  }
}

void CaseStore::Save(const std::string& name, const Numbers& numbers) const {
  if (directory_.empty()) return;
  const Json json = {{"case", name}, {"key", key_}, {"numbers", numbers}};
  WriteFileAtomically(PathOf(name), json.dump(1) + "\n");
}

}  // namespace orchard::run
