// The portfolio on real graphs, and what is said when nothing fits.
#include "place/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "place/read_graph.h"
#include "unit/place/check_schedule.h"
#include "unit/place/golden_graphs.h"

namespace orchard::place {
namespace {

Graph Data(const std::string& name) {
  return ReadGraph(std::string(ORCHARD_SOURCE_DIR) + "/data/graphs/" + name);
}

// Every published graph, on the devices it is for.
class Workloads : public ::testing::TestWithParam<const char*> {};

TEST_P(Workloads, AutoIsNeverWorseThanOneDeviceOrTheExpert) {
  const Graph graph = Data(std::string("workloads/") + GetParam());
  for (Comm comm : {Comm::kParallel, Comm::kHalf}) {
    const Cluster cluster(graph.devices_hint, graph.memory_hint, {}, comm);
    PlaceOptions options;
    options.refine_steps = 20;
    options.lp_time_limit = 5;
    const PlaceResult result = Place(graph, cluster, options, {.threads = 2});
    const TaskGraph tasks = MakeTasks(graph, MustShare(graph, options));
    const Time makespan = result.best.result.schedule.makespan;
    EXPECT_LE(makespan, tasks.TotalWork());
    EXPECT_GE(makespan, result.bound.value());
    EXPECT_EQ(Violation(tasks, cluster, result.best.result.schedule), "");
    for (int32_t d = 0; d < cluster.size(); ++d)
      EXPECT_LE(result.best.result.memory.peak[d], cluster.devices[d].memory);
    for (const Member& member : result.members) {
      if (!member.usable()) continue;
      EXPECT_LE(makespan, member.result.schedule.makespan) << member.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Workloads,
    ::testing::Values("bert24_training_layers.json", "bert_l-6_training_operators.json",
                      "gnmt_inference_layers.json", "gnmt_training_layers.json",
                      "inceptionv3_inference_layers.json", "inceptionv3_training_layers.json",
                      "resnet50_inference_operators.json", "resnet50_training_layers.json"));

std::string Refusal(const Graph& graph, const Cluster& cluster, const PlaceOptions& options) {
  try {
    Place(graph, cluster, options);
  } catch (const ImpossibleError& error) {
    return error.what();
  }
  return "placed";
}

TEST(Place, SaysWhatDoesNotFitAndWhatWould) {
  const Graph graph =
      golden::Make({{"a", 5, 10, 500, 0, "big"}, {"b", 5, 10, 500, 0, "big"}, {"c", 5, 10}},
                   {{"a", "b", 1}, {"b", "c", 1}}, PersistentMemory::kSeparate);
  PlaceOptions options;
  options.allocator_rounding = 1;
  const Cluster small(2, 600, {}, Comm::kParallel);
  const std::string refusal = Refusal(graph, small, options);
  EXPECT_THAT(refusal, ::testing::HasSubstr("no placement fits"));
  EXPECT_THAT(refusal, ::testing::HasSubstr("the group of 'big' needs 1.01 kB"));
  EXPECT_THAT(refusal, ::testing::HasSubstr("smallest equal limit"));
  options.group = Grouping::kNone;
  EXPECT_EQ(Refusal(graph, small, options), "placed");
}

// The limit that a refusal names is one that works.
TEST(Place, TheNamedLimitWorks) {
  const Graph graph = Data("workloads/gnmt_training_layers.json");
  PlaceOptions options;
  options.refine_steps = 20;
  const std::string refusal = Refusal(graph, Cluster(3, 100'000'000, {}, Comm::kParallel), options);
  const size_t at = refusal.rfind('(', refusal.rfind(" bytes"));
  ASSERT_NE(at, std::string::npos) << refusal;
  const int64_t limit = std::stoll(refusal.substr(at + 1));
  EXPECT_EQ(Refusal(graph, Cluster(3, limit, {}, Comm::kParallel), options), "placed");
}

TEST(Place, PinsAreKept) {
  const Graph graph = golden::G5();
  const Cluster two(2, INT64_MAX, {}, Comm::kParallel);
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    if (algorithm == Algorithm::kExpert) continue;
    PlaceOptions options;
    options.algo = algorithm;
    options.pin = {"v0=device1", "v6=0"};
    options.refine_steps = 50;
    const PlaceResult result = Place(graph, two, options);
    EXPECT_EQ(result.best.result.schedule.device[0], 1) << name;
    EXPECT_EQ(result.best.result.schedule.device[6], 0) << name;
  }
  PlaceOptions options;
  options.pin = {"nobody=0"};
  EXPECT_THROW(Place(graph, two, options), UsageError);
}

TEST(Place, AnotherDeviceOrMoreMemoryDoesNotHurt) {
  const Graph graph = Data("workloads/inceptionv3_inference_layers.json");
  PlaceOptions options;
  options.refine_steps = 0;
  Time before = kNever;
  for (const auto& [devices, part] : {std::pair(1, 1.1), {2, 1.1}, {4, 1.1}, {4, 2.0}}) {
    const auto memory = static_cast<int64_t>(static_cast<double>(graph.memory_hint) * part);
    const Cluster cluster(devices, memory, {}, Comm::kParallel);
    const Time makespan =
        Place(graph, cluster, options, {.threads = 2}).best.result.schedule.makespan;
    EXPECT_LE(makespan, before);
    before = makespan;
  }
}

TEST(Place, OneOperatorAndLoneOperators) {
  const Graph one = golden::Make({{"a", 5}}, {});
  const Cluster two(2, INT64_MAX, {}, Comm::kHalf);
  EXPECT_EQ(Place(one, two, {}).best.result.schedule.makespan, FromMicroseconds(5));
  const Graph lone = golden::Make({{"a", 5}, {"b", 5}}, {});
  EXPECT_EQ(Place(lone, two, {}).best.result.schedule.makespan, FromMicroseconds(5));
}

TEST(Place, SizesBeyond32Bits) {
  const Graph graph =
      golden::Make({{"a", 3e9, 5'000'000'000}, {"b", 3e9, 5'000'000'000}}, {{"a", "b", 1}});
  const Cluster one(1, INT64_MAX, {}, Comm::kParallel);
  const PlaceResult result = Place(graph, one, {});
  EXPECT_EQ(result.best.result.schedule.makespan, FromMicroseconds(6e9));
  EXPECT_GT(result.best.result.memory.peak[0], 5'000'000'000);
}

}  // namespace
}  // namespace orchard::place
