// Pieces of work whose results are numbers, kept one file each: an interrupted run goes on where it
// stopped, and the tasks of an array job leave their results to whoever makes the report.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace orchard::run {

// Named results of one piece of work. What does not exist has no entry; NaN is not stored.
using Numbers = std::map<std::string, double>;

class CaseStore {
 public:
  // Keeps nothing.
  CaseStore() = default;
  // Files in `directory`, which is made. `key` is all that results depend on, e.g. the resolved
  // configuration.
  CaseStore(std::filesystem::path directory, const std::string& key);

  // Of a suite of experiments: in `cases`, a folder that all shards share; else in the run
  // directory `out`, emptied first unless the run resumes; keeps nothing where there is neither.
  static CaseStore OfSuite(const std::filesystem::path& cases,
                           const std::optional<std::filesystem::path>& out, bool resume,
                           const std::string& key);

  // Throws DataError for a damaged file, UsageError where it was made with another key.
  std::optional<Numbers> Find(const std::string& name) const;
  // Whole or not at all.
  void Save(const std::string& name, const Numbers& numbers) const;

 private:
  std::filesystem::path PathOf(const std::string& name) const;
  std::filesystem::path directory_;
  std::string key_;  // a hash
};

}  // namespace orchard::run
