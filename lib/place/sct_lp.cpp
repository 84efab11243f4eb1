#include <fmt/format.h>
#include <interfaces/highs_c_api.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "place/levels.h"
#include "place/sct.h"

namespace orchard::place {
namespace {

constexpr double kTieWeight = 1e-7;  // of saved communication against the makespan
constexpr double kLargestTime =
    1e4;  // times are scaled to at most this: HiGHS' tolerances are absolute

// Rows of the programme in compressed form.
struct Rows {
  std::vector<HighsInt> begin, index;
  std::vector<double> value, lower, upper;

  void Add(std::initializer_list<std::pair<HighsInt, double>> entries, double low, double high) {
    begin.push_back(static_cast<HighsInt>(index.size()));
    for (const auto& [column, coefficient] : entries) {
      index.push_back(column);
      value.push_back(coefficient);
    }
    lower.push_back(low);
    upper.push_back(high);
  }
};

struct HighsDeleter {
  void operator()(void* highs) const { Highs_destroy(highs); }
};

class SctProgramme {
 public:
  SctProgramme(const TaskGraph& tasks, const Cluster& cluster)
      : tasks_(tasks),
        edges_(static_cast<HighsInt>(tasks.edges.size())),
        nodes_(tasks.size()),
        cost_(edges_) {
    Time largest = 1;
    for (HighsInt e = 0; e < edges_; ++e) {
      cost_[e] = SummedEdgeCost(tasks, cluster, e);
      largest = std::max(largest, cost_[e]);
    }
    for (Time work : tasks.work) largest = std::max(largest, work);
    scale_ = kLargestTime / static_cast<double>(largest);
    Columns();
    PrecedenceRows();
    FavouriteRows();
  }

  SctLp Solve(double time_limit_seconds) {
    const std::unique_ptr<void, HighsDeleter> highs(Highs_create());
    Highs_setBoolOptionValue(highs.get(), "output_flag", 0);
    Highs_setIntOptionValue(highs.get(), "threads", 1);
    Highs_setDoubleOptionValue(highs.get(), "time_limit", time_limit_seconds);
    const auto columns = static_cast<HighsInt>(column_cost_.size());
    const auto count = static_cast<HighsInt>(rows_.lower.size());
    const HighsInt status =
        Highs_passLp(highs.get(), columns, count, static_cast<HighsInt>(rows_.index.size()),
                     kHighsMatrixFormatRowwise, kHighsObjSenseMinimize, 0, column_cost_.data(),
                     lower_.data(), upper_.data(), rows_.lower.data(), rows_.upper.data(),
                     rows_.begin.data(), rows_.index.data(), rows_.value.data());
    if (status == kHighsStatusError || Highs_run(highs.get()) == kHighsStatusError)
      throw Error(ExitCode::kInternal, "HiGHS refuses the favourite-child programme");
    SctLp result;
    if (Highs_getModelStatus(highs.get()) != kHighsModelStatusOptimal) return result;
    std::vector<double> columns_of(columns), duals(columns), rows(count), row_duals(count);
    Highs_getSolution(highs.get(), columns_of.data(), duals.data(), rows.data(), row_duals.data());
    result.x.assign(columns_of.begin(), columns_of.begin() + edges_);
    result.makespan_us = columns_of[edges_ + nodes_] / scale_ / 1000.0;
    result.bound_us = result.makespan_us;
    result.optimal = true;
    return result;
  }

 private:
  double Scaled(Time time) const { return static_cast<double>(time) * scale_; }
  HighsInt Start(int32_t task) const { return edges_ + task; }
  HighsInt Makespan() const { return edges_ + nodes_; }
  int32_t OutDegree(int32_t i) const { return tasks_.out_begin[i + 1] - tasks_.out_begin[i]; }
  int32_t InDegree(int32_t i) const { return tasks_.in_begin[i + 1] - tasks_.in_begin[i]; }

  void Columns() {
    const auto count = static_cast<size_t>(edges_) + nodes_ + 1;
    column_cost_.assign(count, 0);
    lower_.assign(count, 0);
    upper_.assign(count, 1e30);
    for (HighsInt e = 0; e < edges_; ++e) {
      const Edge& edge = tasks_.edges[e];
      column_cost_[e] = kTieWeight * Scaled(cost_[e]);
      // The only way out of one and into the other: a favourite in some optimum.
      upper_[e] = OutDegree(edge.src) == 1 && InDegree(edge.dst) == 1 ? 0 : 1;
    }
    column_cost_[Makespan()] = 1;
  }

  void PrecedenceRows() {
    for (HighsInt e = 0; e < edges_; ++e) {
      const Edge& edge = tasks_.edges[e];
      rows_.Add({{Start(edge.dst), 1}, {Start(edge.src), -1}, {e, -Scaled(cost_[e])}},
                Scaled(tasks_.work[edge.src]), 1e30);
    }
    for (int32_t i = 0; i < nodes_; ++i) {
      if (OutDegree(i) == 0)
        rows_.Add({{Makespan(), 1}, {Start(i), -1}}, Scaled(tasks_.work[i]), 1e30);
    }
  }

  void FavouriteRows() {
    const auto row = [&](int32_t degree, auto&& edge_of) {
      if (degree < 2) return;
      rows_.begin.push_back(static_cast<HighsInt>(rows_.index.size()));
      for (int32_t k = 0; k < degree; ++k) {
        rows_.index.push_back(edge_of(k));
        rows_.value.push_back(1);
      }
      rows_.lower.push_back(degree - 1);
      rows_.upper.push_back(1e30);
    };
    for (int32_t i = 0; i < nodes_; ++i) {
      row(OutDegree(i), [&](int32_t k) { return tasks_.out_begin[i] + k; });
      row(InDegree(i), [&](int32_t k) { return tasks_.in_edges[tasks_.in_begin[i] + k]; });
    }
  }

  const TaskGraph& tasks_;
  HighsInt edges_, nodes_;
  std::vector<Time> cost_;
  double scale_ = 1;
  std::vector<double> column_cost_, lower_, upper_;  // x of every edge, s of every task, W
  Rows rows_;
};

}  // namespace

SctLp SolveSctLp(const TaskGraph& tasks, const Cluster& cluster, double time_limit_seconds) {
  return SctProgramme(tasks, cluster).Solve(time_limit_seconds);
}

}  // namespace orchard::place
