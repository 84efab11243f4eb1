// Graph files of every kind hold the same graph; damaged ones are refused in words.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "io/hdf5.h"
#include "place/cluster.h"
#include "place/export.h"
#include "place/generate.h"
#include "place/import/protobuf.h"
#include "place/memory.h"
#include "place/onnx/read_onnx.h"
#include "place/onnx/value.h"
#include "place/read_graph.h"

namespace orchard::place {
namespace {

namespace fs = std::filesystem;

// Every property that a graph file can hold.
Graph Example() {
  GraphBuilder builder("example");
  builder.graph.name = "two \"towers\"\\";
  builder.graph.cost_source = "analytic, v100";
  builder.AddOp({.name = "in, put", .type = "Input", .us = 0, .out = {7, 8}, .saved = {1, 0}}, "");
  builder.AddOp({.name = "w",
                 .us = 0.1,
                 .bwd_us = 0,
                 .perm = 5,
                 .perm_is_output = true,
                 .out = {5},
                 .groups = {"g"}},
                "");
  builder.AddOp({.name = "b\xC3\xA9",
                 .type = "Conv",
                 .us = 1.0 / 3,
                 .bwd_us = 2.5e-7,
                 .update_us = 1.0 / 7,
                 .perm = 1LL << 40,
                 .temp = 3,
                 .groups = {"g", "h|,"},
                 .expert = 2},
                "");
  builder.AddUse(0, 2, "in, put:1", 8, -1, "");
  builder.AddUse(1, 2, "w:0", 5, 12.5, "");
  builder.AddUse(0, 2, "^in, put", 4, -1, "");
  builder.AddUse(0, 1, "a tensor of its own", 9, 0, "");
  return builder.Build();
}

std::string Read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

fs::path Scratch(const std::string& name) { return fs::path(testing::TempDir()) / name; }

fs::path Written(const std::string& name, const std::string& bytes) {
  std::ofstream(Scratch(name), std::ios::binary) << bytes;
  return Scratch(name);
}

std::string ErrorOf(const fs::path& path, const ImportOptions& options = {}) {
  try {
    ReadGraph(path, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GraphFiles, Hdf5HoldsWhatJsonDoes) {
  const Graph graph = Example();
  WriteGraph(Scratch("graph.h5"), graph);
  const Graph again = ReadGraph(Scratch("graph.h5"));
  EXPECT_EQ(GraphToJson(again), GraphToJson(graph));
  EXPECT_EQ(GraphHash(again), GraphHash(graph));
  const Graph large = Generate({.ops = 3000}, 1);
  WriteGraph(Scratch("large.hdf5"), large);
  EXPECT_EQ(GraphToJson(ReadGraph(Scratch("large.hdf5"))), GraphToJson(large));
}

TEST(GraphFiles, WhatIsExportedAsGraphvizIsTheGraph) {
  const Graph graph = Example();
  Schedule schedule;
  schedule.device = {0, 1, 1};
  schedule.order = {{0}, {1, 2}};
  const std::string text = ExportPlacement(graph, Cluster(2, INT64_MAX, {}, Comm::kParallel),
                                           schedule, ExportFormat::kDot);
  EXPECT_EQ(GraphToJson(ReadGraph(Written("placed.dot", text))), GraphToJson(graph));
  EXPECT_NE(text.find("color=red"), std::string::npos);
}

TEST(GraphFiles, GraphvizByHandHasDefaultsAndChains) {
  const Graph graph = ReadGraph(Written("hand.gv",
                                        "digraph net { node [us=2]; edge [bytes=10]\n"
                                        "# a comment\n a -> b -> c; b [us=5 perm=7]; }"));
  ASSERT_EQ(graph.size(), 3);
  EXPECT_EQ(graph.name, "net");
  EXPECT_EQ(graph.ops[0].us, 2);
  EXPECT_EQ(graph.ops[1].us, 5);
  EXPECT_EQ(graph.ops[1].perm, 7);
  EXPECT_EQ(graph.tensors[0].bytes, 10);
}

TEST(GraphFiles, GraphvizErrorsNameTheLine) {
  EXPECT_NE(ErrorOf(Written("a.dot", "digraph {\n a -> ;\n}")).find("a.dot:2"), std::string::npos);
  EXPECT_NE(ErrorOf(Written("b.dot", "digraph {\n a [us=fast]\n}")).find("b.dot:2"),
            std::string::npos);
  EXPECT_NE(ErrorOf(Written("c.dot", "graph { a -- b }")).find("no directed graph"),
            std::string::npos);
  EXPECT_NE(ErrorOf(Written("d.dot", "digraph { a -> b; b -> a }")).find("cycle"),
            std::string::npos);
}

TEST(GraphFiles, Hdf5OfSomethingElseIsRefused) {
  const fs::path path = Scratch("other.h5");
  {
    io::Hdf5File file = io::Hdf5File::Create(path);
    file.Write<double>("x", std::vector<double>{1}, {1});
    file.Finish();
  }
  EXPECT_NE(ErrorOf(path).find("no graph"), std::string::npos);
  const std::string whole = [&] {
    WriteGraph(Scratch("whole.h5"), Example());
    return Read(Scratch("whole.h5"));
  }();
  for (size_t length = 8; length < whole.size(); length += 97)
    EXPECT_NE(ErrorOf(Written("cut.h5", whole.substr(0, length))), "");
}

TEST(GraphFiles, LongAttributesOfAllNodesAreNotCopiedWithoutEnd) {
  std::string text = "digraph { node [label=\"" + std::string(100'000, 'x') + "\"]\n";
  for (int i = 0; i < 10'000; ++i) text += "n" + std::to_string(i) + ";";
  EXPECT_NE(ErrorOf(Written("m.dot", text + "}")).find("too long"), std::string::npos);
}

TEST(GraphFiles, OthersAreToldWhatToDo) {
  EXPECT_NE(ErrorOf(Written("m.pt2", "PK\x03\x04")).find("baechi-place import"), std::string::npos);
}

TEST(GraphFiles, AWeightThatIsAnOutputIsHeldOnce) {
  const Graph graph = Example();
  const MemorySizes sizes(graph, {.rounding = 1});
  EXPECT_EQ(sizes.perm[1], 5);
  EXPECT_EQ(
      sizes.buffers[sizes.buffer_of_tensor[graph.edge_tensors[graph.tensor_begin[1]]]].bytes >= 0,
      true);
  int64_t held = 0;
  for (const auto& buffer : sizes.buffers) held += buffer.op == 1 ? buffer.bytes : 0;
  EXPECT_EQ(held, 0);
}

// ---- ONNX

std::string Seed(const std::string& name) {
  return Read(fs::path(ORCHARD_SOURCE_DIR) / "tests/fuzz/corpus/onnx" / name);
}

TEST(OnnxFiles, CutAnywhereAreRefusedOrWhole) {
  const ImportOptions options{.dim = {"batch=2", "length=3"}};
  for (const char* name : {"conv", "lstm", "loops"}) {
    const std::string whole = Seed(name);
    ASSERT_EQ(ErrorOf(Written("whole.onnx", whole), options), "") << name;
    for (size_t length = 0; length < whole.size(); ++length) {
      ImportReport report;
      try {
        const auto model = onnx::ParseModel(std::string_view(whole).substr(0, length), "cut.onnx");
        onnx::ToGraph(*model, options, report);
      } catch (const DataError& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        continue;
      }
      // What follows the operator set is not needed to compute.
      EXPECT_GT(length, whole.size() / 2) << name;
    }
  }
}

TEST(OnnxFiles, ErrorsNameTheNode) {
  EXPECT_NE(ErrorOf(Written("cycle.onnx", Seed("cycle"))).find("cycle"), std::string::npos);
  const std::string huge = ErrorOf(Written("huge.onnx", Seed("huge")));
  EXPECT_NE(huge.find("2^60"), std::string::npos);
  EXPECT_NE(huge.find("Expand"), std::string::npos);
}

TEST(OnnxFiles, OpenSizesAreAskedForByName) {
  const std::string error = ErrorOf(Written("open.onnx", Seed("conv")));
  EXPECT_NE(error.find("--dim batch=8"), std::string::npos) << error;
}

TEST(OnnxFiles, ASharedWeightIsOneOperatorOfItsOwn) {
  // conv: one weight of two Gemm (96 bytes: small, so that both have it), one of a convolution.
  const Graph graph = ReadGraph(Written("conv.onnx", Seed("conv")), {.dim = {"batch=5"}});
  ASSERT_EQ(graph.size(),
            5);  // input, Conv, Reshape and two Gemm; what computes the shape is folded
  EXPECT_EQ(graph.ops[1].type, "Conv");
  EXPECT_EQ(graph.ops[1].perm, 2 * 9 * 4);
  EXPECT_EQ(graph.ops[1].out[0], 5 * 2 * 2 * 2 * 4);
  EXPECT_EQ(graph.ops[3].perm, 24 * 4);
  EXPECT_EQ(graph.ops[4].perm, 24 * 4);
}

TEST(OnnxValues, EveryElementTypeHasASize) {
  for (int32_t type = 1; type <= 28; ++type) {
    EXPECT_GT(onnx::ElementBits(type), 0);
    EXPECT_EQ(onnx::ElementByName(onnx::ElementName(type)), type);
  }
  EXPECT_EQ((onnx::Value{.element = 22, .shape = onnx::Shape{3}}.Bytes()), 2);  // int4: packed
  EXPECT_EQ(onnx::ElementBits(0), 0);
  EXPECT_EQ(onnx::ElementBits(-5), 0);
  EXPECT_EQ(onnx::ElementBits(1000), 0);
}

TEST(OnnxValues, ProductsThatOverflowAreNoSizes) {
  EXPECT_THROW(onnx::Product(int64_t{1} << 40, int64_t{1} << 40), onnx::TooLarge);
  EXPECT_EQ(onnx::Product(0, int64_t{1} << 62), 0);
  EXPECT_EQ(onnx::Product(onnx::kOpen, 3), onnx::kOpen);
}

TEST(Protobuf, DamageIsAnErrorThatNamesTheByte) {
  const auto fails_at = [](const std::string& bytes) {
    const ProtobufSource source{"file", bytes.data(), bytes.size()};
    try {
      ProtobufMessage m(bytes, source);
      while (m.Next()) {
      }
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(fails_at(std::string("\x08\x01\x12\x01z", 5)), "");
  EXPECT_NE(fails_at(std::string("\x08\x01\x12\x05z", 5)).find("byte 2"), std::string::npos);
  EXPECT_NE(
      fails_at(std::string("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11)).find("longer"),
      std::string::npos);
  EXPECT_NE(fails_at(std::string("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 12))
                .find("does not end"),
            std::string::npos);
  EXPECT_NE(fails_at("\x0B").find("wire type"), std::string::npos);  // a group
  EXPECT_NE(fails_at(std::string("\0\0", 2)).find("number"), std::string::npos);
}

}  // namespace
}  // namespace orchard::place
