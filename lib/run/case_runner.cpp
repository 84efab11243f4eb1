#include "run/case_runner.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/signals.h"
#include "base/thread_pool.h"

namespace orchard::run {

double CaseResults::At(const std::string& name, const std::string& key) const {
  const auto found = of_case_.find(name);
  if (found == of_case_.end()) return std::numeric_limits<double>::quiet_NaN();
  const auto number = found->second.find(key);
  return number == found->second.end() ? std::numeric_limits<double>::quiet_NaN() : number->second;
}

void CaseRunner::Run(const std::vector<Case>& cases) {
  std::vector<const Case*> together, alone;
  std::set<std::string> planned;
  for (const Case& c : cases) {
    if (results_.Has(c.name) || !planned.insert(c.name).second) continue;
    if (std::optional<Numbers> kept = store_.Find(c.name)) {
      results_.Add(c.name, *kept);
      ++kept_;
    } else {
      (c.alone ? alone : together).push_back(&c);
    }
  }
  ThreadPool(std::max(1, threads_)).ForEach(static_cast<int64_t>(together.size()), [&](int64_t k) {
    RunOne(*together[static_cast<size_t>(k)]);
  });
  for (const Case* c : alone) RunOne(*c);
  if (StopRequested()) {
    throw InterruptedError("interrupted between two cases", "",
                           "run again with --resume: finished cases are kept");
  }
}

void CaseRunner::RunOne(const Case& c) {
  if (StopRequested()) return;
  {
    const std::lock_guard lock(mutex_);
    if (tell_) tell_(c.name);
  }
  const auto begin = std::chrono::steady_clock::now();
  Numbers numbers = c.work();
  if (StopRequested()) return;  // it may have been cut short
  numbers[kSeconds] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::lock_guard lock(mutex_);
  store_.Save(c.name, numbers);
  results_.Add(c.name, std::move(numbers));
}

}  // namespace orchard::run
