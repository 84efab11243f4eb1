#include "place/milp.h"

#include <interfaces/highs_c_api.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "place/exhaustive.h"
#include "place/levels.h"
#include "place/pipeline_order.h"

namespace orchard::place {
namespace {

constexpr double kScaledMakespan = 1000;  // the incumbent's: HiGHS' tolerances are absolute
constexpr double kTolerance = 1e-6;

struct HighsDeleter {
  void operator()(void* highs) const { Highs_destroy(highs); }
};

// Which tasks a path joins, as bits.
class Reachability {
 public:
  explicit Reachability(const TaskGraph& tasks)
      : words_((tasks.size() + 63) / 64), bits_(static_cast<size_t>(tasks.size()) * words_, 0) {
    const std::vector<int32_t> order = TopologicalTasks(tasks);
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      for (int32_t e = tasks.out_begin[*at]; e < tasks.out_begin[*at + 1]; ++e) {
        const int32_t j = tasks.edges[e].dst;
        bits_[*at * words_ + j / 64] |= uint64_t{1} << (j % 64);
        for (size_t w = 0; w < words_; ++w) bits_[*at * words_ + w] |= bits_[j * words_ + w];
      }
    }
  }
  bool Joined(int32_t i, int32_t j) const { return Reaches(i, j) || Reaches(j, i); }

 private:
  bool Reaches(int32_t i, int32_t j) const { return bits_[i * words_ + j / 64] >> (j % 64) & 1; }
  size_t words_;
  std::vector<uint64_t> bits_;
};

class PlacementProgramme {
 public:
  PlacementProgramme(const Problem& problem, const Evaluated& incumbent)
      : problem_(problem),
        tasks_(problem.ops),
        incumbent_(incumbent),
        devices_(problem.cluster.size()),
        scale_(kScaledMakespan /
               static_cast<double>(std::max<Time>(1, incumbent.schedule.makespan))) {}

  // Finds the pairs that need an order; false when there are too many of them.
  bool FindPairs(int64_t max_rows) {
    const int64_t n = tasks_.size(), most = max_rows / (2 * devices_);
    if (static_cast<int64_t>(tasks_.edges.size()) > most || n > most) return false;
    const Reachability paths(tasks_);
    update_ = Updates(problem_.graph);
    local_.assign(n, 1);
    for (const Edge& edge : tasks_.edges)
      if (tasks_.group[edge.src] != tasks_.group[edge.dst]) local_[edge.dst] = 0;
    for (int32_t i = 0; i < n; ++i) {
      for (int32_t j = i + 1; j < n; ++j) {
        if (!paths.Joined(i, j)) pairs_.push_back({i, j, GivenOrder(i, j)});
        if (static_cast<int64_t>(pairs_.size()) > most) return false;
      }
    }
    return true;
  }

  void Build() {
    Columns();
    AssignmentRows();
    EdgeRows();
    OrderRows();
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      Begin();
      Add(makespan_, 1);
      Add(start_ + i, -1);
      AddWork(i, -1);
      End(0, kHighsInf());
    }
    Begins();
  }

  MilpResult Solve(const MilpOptions& options) {
    const std::unique_ptr<void, HighsDeleter> highs(Highs_create());
    Highs_setBoolOptionValue(highs.get(), "output_flag", 0);
    Highs_setIntOptionValue(highs.get(), "threads", options.threads);
    Highs_setDoubleOptionValue(highs.get(), "time_limit", options.time_limit_seconds);
    Highs_setDoubleOptionValue(highs.get(), "mip_rel_gap", kTolerance);
    const HighsInt status = Highs_passMip(
        highs.get(), static_cast<HighsInt>(cost_.size()), static_cast<HighsInt>(low_.size()),
        static_cast<HighsInt>(index_.size()), kHighsMatrixFormatRowwise, kHighsObjSenseMinimize, 0,
        cost_.data(), lower_.data(), upper_.data(), low_.data(), high_.data(), begin_.data(),
        index_.data(), value_.data(), integrality_.data());
    if (status == kHighsStatusError)
      throw Error(ExitCode::kInternal, "HiGHS refuses the placement programme");
    Highs_setSolution(highs.get(), first_.data(), nullptr, nullptr, nullptr);
    if (Highs_run(highs.get()) == kHighsStatusError)
      throw Error(ExitCode::kInternal, "HiGHS fails on the placement programme");
    MilpResult result;
    result.built = true;
    result.binaries = start_;
    result.optimal = Highs_getModelStatus(highs.get()) == kHighsModelStatusOptimal;
    double bound = 0;
    Highs_getDoubleInfoValue(highs.get(), "mip_dual_bound", &bound);
    if (std::isfinite(bound) && bound > 0)
      result.bound = static_cast<Time>(std::floor(bound / scale_ * (1 - 2 * kTolerance)));
    HighsInt primal = 0;
    Highs_getIntInfoValue(highs.get(), "primal_solution_status", &primal);
    if (primal != kHighsSolutionStatusFeasible) return result;
    std::vector<double> columns(cost_.size()), duals(cost_.size()), rows(low_.size()),
        row_duals(low_.size());
    Highs_getSolution(highs.get(), columns.data(), duals.data(), rows.data(), row_duals.data());
    result.best = Simulated(columns);
    return result;
  }

 private:
  // Of two tasks: what is known of their order, should they share a device.
  enum class Order : uint8_t { kFree, kBefore, kAfter };
  struct Pair {
    int32_t i, j;
    Order order;
  };

  Order GivenOrder(int32_t i, int32_t j) const {
    if (update_.empty() || !(update_[i] || update_[j])) return Order::kFree;
    if (!update_[i]) return Order::kBefore;
    if (!update_[j]) return Order::kAfter;
    if (!local_[i] || !local_[j]) return Order::kFree;
    return StartsBefore(i, j) ? Order::kBefore : Order::kAfter;
  }

  // In the incumbent.
  bool StartsBefore(int32_t i, int32_t j) const {
    const Schedule& schedule = incumbent_.schedule;
    return std::pair(schedule.start[i], schedule.end[i]) <=
           std::pair(schedule.start[j], schedule.end[j]);
  }

  static double kHighsInf() { return 1e30; }
  HighsInt On(int32_t task, int32_t d) const { return tasks_.group[task] * devices_ + d; }
  double Scaled(Time time) const { return static_cast<double>(time) * scale_; }

  HighsInt Column(double low, double high, bool integral) {
    cost_.push_back(0);
    lower_.push_back(low);
    upper_.push_back(high);
    integrality_.push_back(integral ? kHighsVarTypeInteger : kHighsVarTypeContinuous);
    return static_cast<HighsInt>(cost_.size()) - 1;
  }

  void Columns() {
    for (int32_t g = 0; g < tasks_.groups; ++g) {
      for (int32_t d = 0; d < devices_; ++d) {
        const int32_t pin = problem_.group_pin[g];
        const bool first = g == 0 && pin < 0 && DevicesAreAlike(problem_);
        const bool barred = (pin >= 0 && pin != d) || (first && d != 0);
        Column(0, barred ? 0 : 1, true);
      }
    }
    cross_ = static_cast<HighsInt>(cost_.size());
    for (size_t e = 0; e < tasks_.edges.size(); ++e) Column(0, 1, true);
    before_ = static_cast<HighsInt>(cost_.size());
    for (const Pair& pair : pairs_) {
      const bool given = pair.order != Order::kFree;
      const double first = pair.order == Order::kBefore ? 1 : 0;
      Column(given ? first : 0, given ? first : 1, true);
    }
    start_ = static_cast<HighsInt>(cost_.size());
    for (int32_t i = 0; i < tasks_.size(); ++i) Column(0, kScaledMakespan, false);
    makespan_ = Column(0, kScaledMakespan * (1 + kTolerance), false);
    cost_[makespan_] = 1;
  }

  void Begin() { begin_.push_back(static_cast<HighsInt>(index_.size())); }
  void Add(HighsInt column, double value) {
    index_.push_back(column);
    value_.push_back(value);
  }
  // sign * w_i, which depends on the device where they are not alike. Returns what is constant.
  void AddWork(int32_t i, double sign) {
    for (int32_t d = 0; d < devices_; ++d)
      Add(On(i, d), sign * Scaled(tasks_.WorkOn(problem_.cluster, i, d)));
  }
  void End(double low, double high) {
    // HiGHS wants every column once a row; two tasks of one group share columns.
    const auto from = static_cast<size_t>(begin_.back());
    std::vector<std::pair<HighsInt, double>> entries;
    for (size_t k = from; k < index_.size(); ++k) entries.emplace_back(index_[k], value_[k]);
    std::sort(entries.begin(), entries.end());
    index_.resize(from);
    value_.resize(from);
    for (const auto& [column, value] : entries) {
      if (index_.size() > from && index_.back() == column) {
        value_.back() += value;
      } else {
        Add(column, value);
      }
    }
    low_.push_back(low);
    high_.push_back(high);
  }

  void AssignmentRows() {
    for (int32_t g = 0; g < tasks_.groups; ++g) {
      Begin();
      for (int32_t d = 0; d < devices_; ++d) Add(g * devices_ + d, 1);
      End(1, 1);
    }
    const std::vector<int64_t> resident = problem_.sizes.Resident();
    std::vector<double> held(tasks_.groups, 0);
    for (int32_t i = 0; i < tasks_.size(); ++i)
      held[tasks_.group[i]] += static_cast<double>(resident[i]);
    for (int32_t d = 0; d < devices_; ++d) {
      const int64_t memory = problem_.cluster.devices[d].memory;
      if (memory == INT64_MAX || memory == 0) continue;
      Begin();
      for (int32_t g = 0; g < tasks_.groups; ++g)
        Add(g * devices_ + d, held[g] / static_cast<double>(memory));
      End(-kHighsInf(), 1);
    }
    // All compute fits between 0 and W on every device.
    for (int32_t d = 0; d < devices_; ++d) {
      Begin();
      Add(makespan_, 1);
      for (int32_t i = 0; i < tasks_.size(); ++i)
        Add(On(i, d), -Scaled(tasks_.WorkOn(problem_.cluster, i, d)));
      End(0, kHighsInf());
    }
  }

  Time Cost(int32_t e, int32_t src, int32_t dst) const {
    Time cost = 0;
    for (int32_t t : tasks_.TensorsOf(e))
      cost = std::max(cost, tasks_.Cost(problem_.cluster, t, src, dst));
    return cost;
  }

  void EdgeRows() {
    const bool one_cost = problem_.cluster.links.empty();
    for (int32_t e = 0; e < static_cast<int32_t>(tasks_.edges.size()); ++e) {
      const auto [i, j] = tasks_.edges[e];
      const bool together = tasks_.group[i] == tasks_.group[j] || devices_ == 1;
      for (int32_t d = 0; d < devices_ && !together; ++d) {
        Begin();
        Add(cross_ + e, 1);
        Add(On(i, d), -1);
        Add(On(j, d), 1);
        End(0, kHighsInf());
      }
      Begin();
      Add(start_ + j, 1);
      Add(start_ + i, -1);
      AddWork(i, -1);
      if (one_cost && !together) Add(cross_ + e, -Scaled(Cost(e, 0, 1)));
      End(0, kHighsInf());
      for (int32_t d = 0; d < devices_ && !one_cost && !together; ++d) {
        for (int32_t to = 0; to < devices_; ++to) {
          if (to == d) continue;
          const double cost = Scaled(Cost(e, d, to));
          Begin();
          Add(start_ + j, 1);
          Add(start_ + i, -1);
          AddWork(i, -1);
          Add(On(i, d), -cost);
          Add(On(j, to), -cost);
          End(-cost, kHighsInf());
        }
      }
    }
  }

  void OrderRows() {
    const double big = kScaledMakespan;
    for (size_t p = 0; p < pairs_.size(); ++p) {
      const auto& [i, j, order] = pairs_[p];
      const auto o = before_ + static_cast<HighsInt>(p);
      for (int32_t d = 0; d < devices_; ++d) {
        Begin();  // s_j - s_i - w_i - B (o + a_id + a_jd) >= -3 B
        Add(start_ + j, 1);
        Add(start_ + i, -1);
        AddWork(i, -1);
        Add(o, -big);
        Add(On(i, d), -big);
        Add(On(j, d), -big);
        End(-3 * big, kHighsInf());
        Begin();  // s_i - s_j - w_j - B (1 - o + a_id + a_jd) >= -3 B
        Add(start_ + i, 1);
        Add(start_ + j, -1);
        AddWork(j, -1);
        Add(o, big);
        Add(On(i, d), -big);
        Add(On(j, d), -big);
        End(-2 * big, kHighsInf());
      }
    }
  }

  // The incumbent as a point of the programme. Devices are renamed so that the first group is on
  // device 0 where they are alike.
  void Begins() {
    first_.assign(cost_.size(), 0);
    const Schedule& schedule = incumbent_.schedule;
    std::vector<int32_t> renamed(devices_);
    for (int32_t d = 0; d < devices_; ++d) renamed[d] = d;
    if (DevicesAreAlike(problem_)) {
      for (int32_t i = 0; i < tasks_.size(); ++i) {
        if (tasks_.group[i] == 0) std::swap(renamed[0], renamed[schedule.device[i]]);
        if (tasks_.group[i] == 0) break;
      }
    }
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      first_[On(i, renamed[schedule.device[i]])] = 1;
      first_[start_ + i] = Scaled(schedule.start[i]);
    }
    for (size_t e = 0; e < tasks_.edges.size(); ++e) {
      const auto [i, j] = tasks_.edges[e];
      first_[cross_ + static_cast<HighsInt>(e)] = schedule.device[i] != schedule.device[j];
    }
    for (size_t p = 0; p < pairs_.size(); ++p) {
      const auto& [i, j, order] = pairs_[p];
      first_[before_ + static_cast<HighsInt>(p)] =
          order == Order::kFree ? StartsBefore(i, j) : order == Order::kBefore;
    }
    first_[makespan_] = Scaled(schedule.makespan);
  }

  Evaluated Simulated(const std::vector<double>& columns) const {
    std::vector<int32_t> device(tasks_.size(), 0);
    Schedule plan;
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      for (int32_t d = 0; d < devices_; ++d) {
        if (columns[On(i, d)] > columns[On(i, device[i])]) device[i] = d;
      }
      const Time work = tasks_.WorkOn(problem_.cluster, i, device[i]);
      plan.start.push_back(std::llrint(columns[start_ + i] / scale_));
      plan.end.push_back(plan.start.back() + work);
    }
    return Evaluate(problem_, device, OrderByStart(tasks_, plan));
  }

  const Problem& problem_;
  const TaskGraph& tasks_;
  const Evaluated& incumbent_;
  int32_t devices_;
  double scale_;
  std::vector<uint8_t> update_;  // tasks that are updates; empty: none
  std::vector<uint8_t> local_;   // tasks that read from their own group alone
  std::vector<Pair> pairs_;      // that no path joins
  HighsInt cross_ = 0, before_ = 0, start_ = 0, makespan_ = 0;
  std::vector<double> cost_, lower_, upper_, low_, high_, value_, first_;
  std::vector<HighsInt> integrality_, begin_, index_;
};

}  // namespace

MilpResult SolveMilp(const Problem& problem, const Evaluated& incumbent,
                     const MilpOptions& options) {
  MilpResult result;
  if (problem.cluster.comm != Comm::kParallel || incumbent.schedule.makespan == 0) return result;
  PlacementProgramme programme(problem, incumbent);
  if (!programme.FindPairs(options.max_order_rows)) return result;
  programme.Build();
  return programme.Solve(options);
}

}  // namespace orchard::place
