// The two sides of the favourite-child game (sct_paths.h): fractional matchings y on the edges of a
// task graph, and unit flows along its paths.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

// Edges are numbered by consumer here, consumers in topological order; arrays over edges are in
// this numbering. Times are in microseconds.
class PathGame {
 public:
  PathGame(const TaskGraph& tasks, const Cluster& cluster);

  int32_t edges() const { return static_cast<int32_t>(cost_.size()); }
  int32_t nodes() const { return static_cast<int32_t>(work_.size()); }
  // The task graph's number of an edge.
  int32_t EdgeOf(int32_t e) const { return edge_[e]; }

  // The longest path when edge e takes cost (1 - y).
  double LongestPath(const std::vector<double>& y) const;

  // mu log sum over all paths of exp(length / mu). Leaves what part of the unit flow of its
  // gradient each edge carries in `flow`.
  double Smoothed(const std::vector<double>& y, double mu, std::vector<double>& flow);
  // Logarithm of the number of paths.
  double LogPaths() const;

  // y within the polytope to begin with: an equal part at every task.
  std::vector<double> EqualParts() const;
  // y <- y exp(step cost flow), then tasks whose edges sum to more than one are scaled, alternately
  // as producers and as consumers. Adds `weight` times the prices of the scalings to `out` and
  // `in`, of each task as a producer and as a consumer.
  // Those are exact as long as no edge alone outgrows a task in one step.
  void MirrorStep(const std::vector<double>& flow, double step, double weight,
                  std::vector<double>& y, std::vector<double>& out, std::vector<double>& in) const;
  // Shrinks y until every task's edges sum to one at most.
  void Shrink(std::vector<double>& y) const;

  // A lower bound of the longest path over all y, from a unit flow and prices that are nearly
  // right.
  double Bound(const std::vector<double>& flow, std::vector<double> out,
               std::vector<double> in) const;

 private:
  int32_t First(int32_t j) const { return in_begin_[j]; }
  int32_t Behind(int32_t j) const { return in_begin_[j + 1]; }

  std::vector<int32_t> in_begin_;              // edges into node j, nodes in topological order
  std::vector<int32_t> source_;                // producer of each edge
  std::vector<int32_t> target_;                // consumer of each edge
  std::vector<int32_t> out_begin_, out_edge_;  // edges out of each node
  std::vector<int32_t> edge_;                  // of the task graph
  std::vector<double> cost_, work_;
  std::vector<double> start_, through_, part_;  // of Smoothed
};

}  // namespace orchard::place
