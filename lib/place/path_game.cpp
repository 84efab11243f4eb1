#include "place/path_game.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "place/levels.h"

namespace orchard::place {
namespace {

constexpr int kScalings = 3;         // of producers and of consumers in one step
constexpr double kMostGrowth = 3;    // exponent of one step
constexpr double kLeastPart = 1e-9;  // y never falls below: it could not come back
constexpr int kPriceSweeps = 4;

}  // namespace

PathGame::PathGame(const TaskGraph& tasks, const Cluster& cluster) {
  const std::vector<int32_t> order = TopologicalTasks(tasks);
  std::vector<int32_t> number(tasks.size());
  for (int32_t k = 0; k < tasks.size(); ++k) number[order[k]] = k;
  in_begin_ = {0};
  out_begin_.assign(tasks.size() + 1, 0);
  for (int32_t i : order) {
    work_.push_back(ToMicroseconds(tasks.work[i]));
    for (int32_t e : tasks.InEdges(i)) {
      source_.push_back(number[tasks.edges[e].src]);
      target_.push_back(number[i]);
      edge_.push_back(e);
      cost_.push_back(ToMicroseconds(SummedEdgeCost(tasks, cluster, e)));
      ++out_begin_[source_.back() + 1];
    }
    in_begin_.push_back(static_cast<int32_t>(edge_.size()));
  }
  std::partial_sum(out_begin_.begin(), out_begin_.end(), out_begin_.begin());
  out_edge_.resize(edge_.size());
  std::vector<int32_t> next(out_begin_.begin(), out_begin_.end() - 1);
  for (int32_t e = 0; e < edges(); ++e) out_edge_[next[source_[e]]++] = e;
  start_.resize(work_.size());
  through_.resize(work_.size());
  part_.resize(edge_.size());
}

double PathGame::LongestPath(const std::vector<double>& y) const {
  std::vector<double> start(work_.size(), 0);
  double longest = 0;
  for (int32_t j = 0; j < nodes(); ++j) {
    for (int32_t e = First(j); e < Behind(j); ++e)
      start[j] = std::max(start[j], start[source_[e]] + work_[source_[e]] + cost_[e] * (1 - y[e]));
    longest = std::max(longest, start[j] + work_[j]);
  }
  return longest;
}

double PathGame::Smoothed(const std::vector<double>& y, double mu, std::vector<double>& flow) {
  for (int32_t j = 0; j < nodes(); ++j) {
    double most = 0, sum = 0;
    for (int32_t e = First(j); e < Behind(j); ++e) {
      const int32_t i = source_[e];
      part_[e] = start_[i] + work_[i] + cost_[e] * (1 - y[e]);
      most = std::max(most, part_[e]);
    }
    for (int32_t e = First(j); e < Behind(j); ++e) {
      part_[e] = std::exp((part_[e] - most) / mu);
      sum += part_[e];
    }
    for (int32_t e = First(j); e < Behind(j); ++e) part_[e] /= sum;
    start_[j] = sum > 0 ? most + mu * std::log(sum) : 0;
  }
  const auto sink = [&](int32_t i) { return out_begin_[i] == out_begin_[i + 1]; };
  double most = 0, sum = 0;
  for (int32_t i = 0; i < nodes(); ++i) {
    if (sink(i)) most = std::max(most, start_[i] + work_[i]);
  }
  for (int32_t i = 0; i < nodes(); ++i) {
    through_[i] = sink(i) ? std::exp((start_[i] + work_[i] - most) / mu) : 0;
    sum += through_[i];
  }
  flow.resize(edge_.size());
  for (int32_t j = nodes() - 1; j >= 0; --j) {
    if (sink(j)) through_[j] /= sum;
    for (int32_t e = First(j); e < Behind(j); ++e) {
      flow[e] = through_[j] * part_[e];
      through_[source_[e]] += flow[e];
    }
  }
  return most + mu * std::log(sum);
}

double PathGame::LogPaths() const {
  std::vector<double> log_paths(work_.size(), 0);
  double most = 0, sum = 0;
  const auto add = [](double& most, double& sum, double value) {
    if (value > most) sum = sum * std::exp(most - value), most = value;
    sum += std::exp(value - most);
  };
  for (int32_t j = 0; j < nodes(); ++j) {
    double most_in = 0, sum_in = 0;
    for (int32_t e = First(j); e < Behind(j); ++e) add(most_in, sum_in, log_paths[source_[e]]);
    if (sum_in > 0) log_paths[j] = most_in + std::log(sum_in);
    if (out_begin_[j] == out_begin_[j + 1]) add(most, sum, log_paths[j]);
  }
  return sum > 0 ? most + std::log(sum) : 0;
}

std::vector<double> PathGame::EqualParts() const {
  std::vector<double> y(edge_.size());
  for (int32_t e = 0; e < edges(); ++e) {
    const int32_t i = source_[e], j = target_[e];
    y[e] = 1.0 / std::max(out_begin_[i + 1] - out_begin_[i], Behind(j) - First(j));
  }
  return y;
}

void PathGame::MirrorStep(const std::vector<double>& flow, double step, double weight,
                          std::vector<double>& y, std::vector<double>& out,
                          std::vector<double>& in) const {
  for (int32_t e = 0; e < edges(); ++e) {
    const double grown = y[e] * std::exp(std::min(step * cost_[e] * flow[e], kMostGrowth));
    y[e] = std::max(grown, kLeastPart);
  }
  std::vector<double> scaled_out(work_.size(), 1), scaled_in(work_.size(), 1);
  for (int k = 0; k < kScalings; ++k) {
    for (int32_t i = 0; i < nodes(); ++i) {
      double sum = 0;
      for (int32_t r = out_begin_[i]; r < out_begin_[i + 1]; ++r) sum += y[out_edge_[r]];
      if (sum <= 1) continue;
      scaled_out[i] *= sum;
      for (int32_t r = out_begin_[i]; r < out_begin_[i + 1]; ++r) y[out_edge_[r]] /= sum;
    }
    for (int32_t j = 0; j < nodes(); ++j) {
      double sum = 0;
      for (int32_t e = First(j); e < Behind(j); ++e) sum += y[e];
      if (sum <= 1) continue;
      scaled_in[j] *= sum;
      for (int32_t e = First(j); e < Behind(j); ++e) y[e] /= sum;
    }
  }
  const double price = weight / step;
  for (int32_t i = 0; i < nodes(); ++i) {
    if (scaled_out[i] > 1) out[i] += price * std::log(scaled_out[i]);
    if (scaled_in[i] > 1) in[i] += price * std::log(scaled_in[i]);
  }
}

void PathGame::Shrink(std::vector<double>& y) const {
  std::vector<double> out(work_.size(), 0), in(work_.size(), 0);
  for (int32_t e = 0; e < edges(); ++e) {
    out[source_[e]] += y[e];
    in[target_[e]] += y[e];
  }
  for (int32_t e = 0; e < edges(); ++e) y[e] /= std::max({1.0, out[source_[e]], in[target_[e]]});
}

double PathGame::Bound(const std::vector<double>& flow, std::vector<double> out,
                       std::vector<double> in) const {
  std::vector<double> arriving(work_.size(), 0);
  double length = 0;
  for (int32_t e = 0; e < edges(); ++e) {
    length += flow[e] * (work_[source_[e]] + cost_[e]);
    arriving[target_[e]] += flow[e];
  }
  // A task without edges is a path of its own, and no part of the flow.
  double alone = 0;
  for (int32_t i = 0; i < nodes(); ++i) {
    if (out_begin_[i] < out_begin_[i + 1]) continue;
    length += arriving[i] * work_[i];
    if (First(i) == Behind(i)) alone = std::max(alone, work_[i]);
  }
  // Consumers pay what is missing, then everybody no more than needed: prices only fall.
  std::vector<double> missing(work_.size(), 0);
  for (int32_t e = 0; e < edges(); ++e) {
    double& of_target = missing[target_[e]];
    of_target = std::max(of_target, cost_[e] * flow[e] - out[source_[e]] - in[target_[e]]);
  }
  for (int32_t j = 0; j < nodes(); ++j) in[j] += missing[j];
  for (int k = 0; k < kPriceSweeps; ++k) {
    for (int32_t i = 0; i < nodes(); ++i) {
      double needed = 0;
      for (int32_t r = out_begin_[i]; r < out_begin_[i + 1]; ++r) {
        const int32_t e = out_edge_[r];
        needed = std::max(needed, cost_[e] * flow[e] - in[target_[e]]);
      }
      out[i] = std::min(out[i], needed);
    }
    for (int32_t j = 0; j < nodes(); ++j) {
      double needed = 0;
      for (int32_t e = First(j); e < Behind(j); ++e)
        needed = std::max(needed, cost_[e] * flow[e] - out[source_[e]]);
      in[j] = std::min(in[j], needed);
    }
  }
  const double prices =
      std::accumulate(out.begin(), out.end(), 0.0) + std::accumulate(in.begin(), in.end(), 0.0);
  return std::max(alone, length - prices);
}

}  // namespace orchard::place
