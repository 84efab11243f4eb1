// The published placers on the authors' own GNMT profile, as measured by running their code with
// the corrections of docs/methods/baechi-place.md (milliseconds, official simulator, 4 devices).
#include <gtest/gtest.h>

#include "place/place.h"
#include "place/read_graph.h"

namespace orchard::place {
namespace {

class Gnmt : public ::testing::Test {
 protected:
  double Makespan(Algorithm algorithm, Grouping grouping, Comm comm, bool fuse = true,
                  double theta = 0.1) const {
    PlaceOptions options;
    options.algo = algorithm;
    options.group = grouping;
    options.fuse = fuse;
    options.compat = Compat::kTf;
    options.memory_model = MemoryModel::kPlain;
    options.sct_theta = theta;
    const Cluster four(4, INT64_MAX, {}, comm);
    return ToMicroseconds(Place(graph_, four, options).best.published_makespan) / 1000;
  }
  const Graph graph_ = ReadGraph(std::string(ORCHARD_SOURCE_DIR) + "/data/graphs/gnmt_v2.json");
};

void ExpectWithin(double actual, double published, double part) {
  EXPECT_NEAR(actual, published, published * part);
}

TEST_F(Gnmt, HasThePublishedSize) {
  const TaskGraph tasks =
      MakeTasks(graph_, GroupOperators(graph_, Grouping::kTf), {.compat = true});
  EXPECT_EQ(tasks.size(), 2494);
  EXPECT_EQ(tasks.edges.size(), 4150u);
  EXPECT_NEAR(ToMicroseconds(tasks.TotalWork()) / 1000, 116.76, 0.005);
  const Cluster four(4, INT64_MAX, {}, Comm::kParallel);
  EXPECT_NEAR(ToMicroseconds(ComputeLowerBound(tasks, four).critical_path) / 1000, 78.69, 0.005);
}

TEST_F(Gnmt, MEtf) {
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kTf, Comm::kParallel), 105.027, 0.005);
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kTf, Comm::kHalf), 184.997, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kCoplace, Comm::kParallel), 92.807, 0.005);
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kCoplace, Comm::kHalf), 146.991, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kTf, Comm::kHalf, false), 295.81, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMEtf, Grouping::kCoplace, Comm::kHalf, false), 293.28, 0.0001);
}

TEST_F(Gnmt, MTopo) {
  ExpectWithin(Makespan(Algorithm::kMTopo, Grouping::kTf, Comm::kParallel), 118.125, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMTopo, Grouping::kTf, Comm::kHalf), 257.162, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMTopo, Grouping::kCoplace, Comm::kParallel), 116.663, 0.0001);
  ExpectWithin(Makespan(Algorithm::kMTopo, Grouping::kCoplace, Comm::kHalf), 182.356, 0.0001);
}

TEST_F(Gnmt, MSctDependsOnTheSolversVertex) {
  const auto sct = [&](Comm comm, double theta) {
    return Makespan(Algorithm::kMSct, Grouping::kCoplace, comm, true, theta);
  };
  ExpectWithin(sct(Comm::kParallel, 0.1), 83.305, 0.02);
  ExpectWithin(sct(Comm::kParallel, 0.5), 82.776, 0.02);
  ExpectWithin(sct(Comm::kHalf, 0.1), 146.81, 0.02);
  ExpectWithin(sct(Comm::kHalf, 0.5), 145.84, 0.02);
}

TEST_F(Gnmt, Expert) {
  ExpectWithin(Makespan(Algorithm::kExpert, Grouping::kTf, Comm::kParallel), 90.12, 0.005);
  ExpectWithin(Makespan(Algorithm::kExpert, Grouping::kTf, Comm::kHalf), 133.71, 0.005);
}

}  // namespace
}  // namespace orchard::place
