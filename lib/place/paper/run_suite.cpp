#include "place/paper/run_suite.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/error.h"
#include "base/signals.h"
#include "base/thread_pool.h"

namespace orchard::place::paper {
namespace {

constexpr const char* kSeconds = "case_seconds";

class Runner {
 public:
  Runner(const Setting& setting, const run::CaseStore& store,
         const std::function<void(std::string_view)>& tell)
      : setting_(setting), store_(store), tell_(tell) {}

  void Run(const std::vector<Case>& cases) {
    std::vector<const Case*> together, alone;
    for (const Case& c : cases) {
      if (std::optional<run::Numbers> kept = store_.Find(c.name)) {
        results_.Add(c.name, *kept);
        ++kept_;
      } else {
        (c.alone ? alone : together).push_back(&c);
      }
    }
    ThreadPool(std::max(1, setting_.threads))
        .ForEach(static_cast<int64_t>(together.size()), [&](int64_t k) { RunOne(*together[k]); });
    for (const Case* c : alone) RunOne(*c);
    if (StopRequested()) {
      throw InterruptedError("interrupted between two cases", "",
                             "run again with --resume: finished cases are kept");
    }
  }

  const Results& results() const { return results_; }
  int64_t kept() const { return kept_; }

 private:
  void RunOne(const Case& c) {
    if (StopRequested()) return;
    {
      const std::lock_guard lock(mutex_);
      if (tell_) tell_(c.name);
    }
    const auto begin = std::chrono::steady_clock::now();
    run::Numbers numbers = c.work();
    if (StopRequested()) return;  // refinement may have been cut short
    numbers[kSeconds] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const std::lock_guard lock(mutex_);
    store_.Save(c.name, numbers);
    results_.Add(c.name, std::move(numbers));
  }

  const Setting& setting_;
  const run::CaseStore& store_;
  const std::function<void(std::string_view)>& tell_;
  std::mutex mutex_;
  Results results_;
  int64_t kept_ = 0;
};

}  // namespace

SuiteOutcome RunSuite(const std::vector<const Experiment*>& experiments, const Setting& setting,
                      const run::CaseStore& store, const run::Shard& shard,
                      const std::function<void(std::string_view)>& tell) {
  const StopSignals stop;
  Runner runner(setting, store, tell);
  SuiteOutcome outcome;
  int64_t index = 0;
  for (const Experiment* experiment : experiments) {
    const std::vector<Case> all = experiment->cases(setting);
    std::vector<Case> cases;
    for (const Case& c : all) {
      if (shard.Takes(index++)) cases.push_back(c);
    }
    runner.Run(cases);
    outcome.cases += std::ssize(cases);
    if (!shard.IsWhole()) continue;
    run::ExperimentResult result = experiment->conclude(setting, runner.results());
    result.name = experiment->name;
    result.title = experiment->title;
    for (const Case& c : cases) result.seconds += runner.results().At(c.name, kSeconds);
    outcome.experiments.push_back(std::move(result));
  }
  outcome.kept = runner.kept();
  return outcome;
}

}  // namespace orchard::place::paper
