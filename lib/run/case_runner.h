// Runs pieces of work ("cases") that give numbers: those that are kept already are taken, the
// others divided over threads, those that measure time run alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "run/case_store.h"

namespace orchard::run {

struct Case {
  std::string name;  // the same name is the same work
  std::function<Numbers()> work;
  bool alone = false;  // measures time: nothing else of this process runs beside it
};

// The numbers of cases.
class CaseResults {
 public:
  void Add(const std::string& name, Numbers numbers) { of_case_[name] = std::move(numbers); }
  // NaN where there is none.
  double At(const std::string& name, const std::string& key) const;
  const Numbers& Of(const std::string& name) const { return of_case_.at(name); }
  bool Has(const std::string& name) const { return of_case_.count(name) > 0; }

 private:
  std::map<std::string, Numbers> of_case_;
};

class CaseRunner {
 public:
  //   tell  hears of each case before it runs, one call at a time; may be empty
  CaseRunner(const CaseStore& store, int threads, std::function<void(std::string_view)> tell)
      : store_(store), threads_(threads), tell_(std::move(tell)) {}

  // Adds the numbers of all cases to the results, and to each its seconds as `kSeconds`. A name
  // that has results is not run again. Throws what work throws; InterruptedError after a signal,
  // when finished cases are kept.
  void Run(const std::vector<Case>& cases);

  const CaseResults& results() const { return results_; }
  int64_t kept() const { return kept_; }  // taken from the store

  static constexpr const char* kSeconds = "case_seconds";

 private:
  void RunOne(const Case& c);

  const CaseStore& store_;
  int threads_;
  std::function<void(std::string_view)> tell_;
  std::mutex mutex_;
  CaseResults results_;
  int64_t kept_ = 0;
};

}  // namespace orchard::run
