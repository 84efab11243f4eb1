// Graph, device and placement files: what is read, and what is said about damaged ones.
#include "place/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "place/groups.h"
#include "place/levels.h"
#include "place/placement.h"
#include "place/read_graph.h"
#include "place/topology.h"
#include "unit/scratch_dir.h"

namespace orchard::place {
namespace {

using ::testing::HasSubstr;

std::string File(const std::string& ops, const std::string& edges, const std::string& meta = "{}") {
  return R"({"format":"baechi-graph","version":1,"meta":)" + meta + R"(,"ops":[)" + ops +
         R"(],"edges":[)" + edges + "]}";
}

// The message of the DataError that reading gives.
std::string Refusal(const std::string& text) {
  try {
    ParseGraph(text, "g.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

const char kTwoOps[] =
    R"({"name":"a","us":1,"out":[8]},{"name":"b","us":2.5,"perm":7,"temp":3,"groups":["x"]})";

TEST(ReadGraph, OperatorsEdgesAndTensors) {
  const Graph graph = ParseGraph(File(kTwoOps, R"({"src":"a","dst":"b","tensor":"a:0","bytes":8},
                       {"src":"a","dst":"b","tensor":"a:0","bytes":8},
                       {"src":"a","dst":"b","tensor":"^a","bytes":4,"us":3})"),
                                 "g.json");
  ASSERT_EQ(graph.size(), 2);
  EXPECT_EQ(graph.ops[1].us, 2.5);
  EXPECT_EQ(graph.ops[1].groups, std::vector<std::string>{"x"});
  ASSERT_EQ(graph.edges.size(), 1u) << "several uses of one pair are one edge";
  ASSERT_EQ(graph.TensorsOf(0).size(), 2u) << "the same tensor twice is one";
  EXPECT_EQ(graph.tensors[0].port, 0);
  EXPECT_TRUE(graph.tensors[1].control);
  EXPECT_EQ(graph.tensors[1].us, 3);
}

TEST(ReadGraph, SurvivesWritingAndReading) {
  const Graph graph = ParseGraph(
      File(kTwoOps, R"({"src":"a","dst":"b","tensor":"a:0","bytes":8,"us":2})"), "g.json");
  const Graph again = ParseGraph(GraphToJson(graph), "again");
  EXPECT_EQ(GraphHash(graph), GraphHash(again));
  EXPECT_EQ(GraphToJson(graph), GraphToJson(again));
}

TEST(ReadGraph, WorkloadFiles) {
  const Graph graph = ParseGraph(
      R"({"maxFPGAs":3,"maxSizePerFPGA":1e9,"nodes":[
          {"id":5,"name":"x","fpgaLatency":1.5,"size":100.5,"colorClass":2},
          {"id":7,"name":"y","fpgaLatency":0,"size":0,"colorClass":2}],
          "edges":[{"sourceId":5,"destId":7,"cost":0.25,"size":0.125}]})",
      "msr.json");
  EXPECT_EQ(graph.devices_hint, 3);
  EXPECT_EQ(graph.memory_hint, 1000000000);
  EXPECT_EQ(graph.ops[0].us, 1500);
  EXPECT_EQ(graph.ops[0].perm, 101) << "part of a byte is a byte";
  EXPECT_EQ(graph.tensors[0].bytes, 1);
  EXPECT_EQ(graph.tensors[0].us, 250);
  EXPECT_EQ(GroupOperators(graph, Grouping::kTf), (std::vector<int32_t>{0, 0}));
}

TEST(ReadGraph, RefusesWhatIsNoGraph) {
  EXPECT_THAT(Refusal("{}"), HasSubstr("not a graph file"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("not a graph file"));
  EXPECT_THAT(Refusal("{\"format\":\"baechi-graph\",\"version\":2}"), HasSubstr("version 2"));
  EXPECT_THAT(Refusal("{\"format\":\"baechi-graph\",\"version\":1}"),
              HasSubstr("'ops' is missing"));
  EXPECT_THAT(Refusal(File("", "")), HasSubstr("no operators"));
  EXPECT_THAT(Refusal("{\"format\":"), HasSubstr("not valid JSON"));
}

TEST(ReadGraph, NamesThePlaceOfABadOperator) {
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":-1})", "")),
              ::testing::AllOf(HasSubstr("ops[0]"), HasSubstr("negative"), HasSubstr("'a'")));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":"NaN"})", "")),
              ::testing::AllOf(HasSubstr("ops[0].us"), HasSubstr("a number is expected")));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1e999})", "")), HasSubstr("g.json"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1,"perm":-4})", "")), HasSubstr("ops[0].perm"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1,"out":[1.5]})", "")), HasSubstr("ops[0].out[0]"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1,"out":[1],"saved":[true,false]})", "")),
              HasSubstr("different lengths"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1},{"name":"a","us":1})", "")),
              ::testing::AllOf(HasSubstr("ops[1]"), HasSubstr("the same name")));
  EXPECT_THAT(Refusal(File(R"({"name":"","us":1})", "")), HasSubstr("without a name"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1e300})", "")), HasSubstr("too long"));
  EXPECT_THAT(Refusal(File(R"({"name":"a","us":1,"perm":9e18})", "")), HasSubstr("ops[0]"));
}

TEST(ReadGraph, NamesThePlaceOfABadEdge) {
  const auto edge = [](const std::string& text) { return Refusal(File(kTwoOps, text)); };
  EXPECT_THAT(edge(R"({"src":"a","dst":"c","bytes":8})"),
              ::testing::AllOf(HasSubstr("edges[0].dst"), HasSubstr("unknown operator 'c'")));
  EXPECT_THAT(edge(R"({"src":"a","dst":"b","bytes":-8})"), HasSubstr("edges[0]"));
  EXPECT_THAT(edge(R"({"src":"a","dst":"b","bytes":9})"), HasSubstr("8 as an output"));
  EXPECT_THAT(edge(R"({"src":"a","dst":"b","tensor":"a:3","bytes":8})"),
              HasSubstr("has 1 outputs"));
  EXPECT_THAT(edge(R"({"src":"a","dst":"b","bytes":8,"us":-2})"), HasSubstr("edges[0].us"));
  EXPECT_THAT(edge(R"({"src":"b","dst":"a","tensor":"t","bytes":1},
                      {"src":"b","dst":"a","tensor":"t","bytes":2})"),
              HasSubstr("another size or cost"));
  EXPECT_THAT(edge(R"({"src":"a","dst":"a","bytes":8})"), HasSubstr("a cycle: 'a' -> 'a'"));
}

TEST(ReadGraph, PrintsACycle) {
  const std::string ops =
      R"({"name":"in","us":1},{"name":"x","us":1},{"name":"y","us":1},{"name":"z","us":1},{"name":"out","us":1})";
  EXPECT_THAT(Refusal(File(ops, R"({"src":"in","dst":"x","bytes":1},{"src":"x","dst":"y","bytes":1},
                                   {"src":"y","dst":"z","bytes":1},{"src":"z","dst":"x","bytes":1},
                                   {"src":"z","dst":"out","bytes":1})")),
              ::testing::AllOf(HasSubstr("cycle"), HasSubstr("'x' -> 'y' -> 'z'"),
                               ::testing::Not(HasSubstr("'out'"))));
}

TEST(ReadGraph, NamesOfAttackersStayOnOneLine) {
  const std::string refusal = Refusal(File("{\"name\":\"a\\u001b[31m\\nb\",\"us\":-1}", ""));
  EXPECT_THAT(refusal, ::testing::Not(HasSubstr("\n")));
  EXPECT_THAT(refusal, ::testing::Not(HasSubstr("\x1b")));
}

TEST(Graph, AChainOf100000NeedsNoStack) {
  GraphBuilder builder("chain");
  constexpr int kLength = 100000;
  for (int i = 0; i < kLength; ++i) builder.AddOp({.name = std::to_string(i), .us = 1}, "");
  for (int i = 1; i < kLength; ++i) builder.AddUse(i - 1, i, "t", 4, -1, "");
  const Graph graph = builder.Build();
  EXPECT_EQ(TopologicalOrder(graph.edges, graph.out_begin).back(), kLength - 1);
  const auto coplaced = GroupOperators(graph, Grouping::kCoplace);
  EXPECT_EQ(coplaced.back(), 0) << "a straight chain is one group";
}

TEST(Graph, HashTellsGraphsApart) {
  const Graph a = ParseGraph(File(kTwoOps, R"({"src":"a","dst":"b","bytes":8})"), "g");
  const Graph b = ParseGraph(File(kTwoOps, R"({"src":"b","dst":"a","bytes":8})"), "g");
  EXPECT_NE(GraphHash(a), GraphHash(b));
}

class ReadPlacementTest : public ::testing::Test {
 protected:
  std::string Refuse(const std::string& json) {
    const auto path = dir_ / "p.json";
    std::ofstream(path) << json;
    try {
      ReadPlacement(path, graph_, cluster_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }
  testing::ScratchDir dir_;
  Graph graph_ = ParseGraph(File(kTwoOps, R"({"src":"a","dst":"b","bytes":8})"), "g");
  Cluster cluster_{2, INT64_MAX, {}, Comm::kParallel};
};

TEST_F(ReadPlacementTest, RefusesWhatDoesNotFitTheGraph) {
  EXPECT_EQ(Refuse(R"({"assign":{"a":0,"b":"device1"}})"), "accepted");
  EXPECT_THAT(Refuse(R"({"graph":"00","assign":{}})"), HasSubstr("another graph"));
  EXPECT_THAT(Refuse(R"({"assign":{"a":0}})"), HasSubstr("'b' has no device"));
  EXPECT_THAT(Refuse(R"({"assign":{"a":0,"b":2}})"), HasSubstr("no device 2"));
  EXPECT_THAT(Refuse(R"({"assign":{"a":0,"c":0}})"), HasSubstr("no operator 'c'"));
  const std::string assign = R"("assign":{"a":0,"b":0},)";
  EXPECT_THAT(Refuse("{" + assign + R"("order":{"device0":["a"]}})"),
              HasSubstr("1 operators are missing"));
  EXPECT_THAT(Refuse("{" + assign + R"("order":{"device0":["a","a"]}})"), HasSubstr("twice"));
  EXPECT_THAT(Refuse("{" + assign + R"("order":{"device1":["a"]}})"), HasSubstr("another device"));
}

TEST(ReadCluster, NamesThePlace) {
  const testing::ScratchDir dir;
  const auto refuse = [&](const std::string& json) -> std::string {
    std::ofstream(dir / "d.json") << json;
    try {
      ReadCluster(dir / "d.json", {}, Comm::kParallel);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refuse(R"({"devices":[{"memory":1e9},{"speed":2}],
                       "links":{"default":{"a":1e-4,"b":5,"mode":"half"},
                                "pairs":[{"src":"device0","dst":"device1","b":0}]}})"),
            "accepted");
  EXPECT_THAT(refuse(R"({"devices":[]})"), HasSubstr("no device"));
  EXPECT_THAT(refuse(R"({"devices":[{"speed":0}]})"), HasSubstr("devices[0].speed"));
  EXPECT_THAT(refuse(R"({"devices":[{"memory":5,"reserve":6}]})"), HasSubstr("devices[0].reserve"));
  EXPECT_THAT(refuse(R"({"devices":[{"name":"x"},{"name":"x"}]})"), HasSubstr("same name"));
  EXPECT_THAT(refuse(R"({"devices":[{}],"links":{"default":{"a":-1}}})"),
              HasSubstr("links.default.a"));
  EXPECT_THAT(refuse(R"({"devices":[{}],"links":{"pairs":[{"src":"q","dst":"q"}]}})"),
              HasSubstr("links.pairs[0].src"));
}

}  // namespace
}  // namespace orchard::place
