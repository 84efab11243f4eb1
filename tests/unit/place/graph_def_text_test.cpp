#include "place/tensorflow/graph_def_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"

namespace orchard::place::tensorflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

NodeDef NodeOf(const std::string& fields) {
  static GraphDef graph;  // keeps the bytes that the node points to
  graph = ParseGraphDefText("node { name: 'n' op: 'Op' " + fields + " }", "f");
  return graph.nodes.at(0);
}

std::string ErrorOf(const std::string& text) {
  try {
    ParseGraphDefText(text, "f.pbtxt");
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

std::string AttrErrorOf(const std::string& value) {
  return ErrorOf("node { name: 'n' op: 'o' attr { key: 'k' value {" + value + "} } }");
}

}  // namespace

TEST(GraphDefText, GivesTheNodesOfTheBinaryForm) {
  const GraphDef graph = ParseGraphDefText(R"(
    # what tf.io.write_graph writes
    node {
      name: "x"
      op: "Placeholder"
      attr { key: "dtype" value { type: DT_HALF } }
      attr { key: "shape" value { shape { dim { size: -1 } dim { size: 32 name: "words" } } } }
    }
    node {
      name: "y"
      op: "MatMul"
      input: "x" input: "w:2" input: "^z"
      device: "/gpu:1"
      attr { key: "transpose_b" value { b: true } }
      attr { key: "_class" value { list { s: "loc:@w" s: "other" } } }
      attr { key: "_output_shapes"
             value { list { shape { dim { size: 4 } } shape { unknown_rank: true } } } }
    }
    versions { producer: 1087 bad_consumers: [1, 2] })",
                                           "f");
  ASSERT_EQ(graph.nodes.size(), 2u);
  const NodeDef& x = graph.nodes[0];
  EXPECT_EQ(x.name, "x");
  EXPECT_EQ(x.op, "Placeholder");
  EXPECT_EQ(x.type, 19);
  EXPECT_EQ(x.shape, (TensorShape{-1, 32}));
  const NodeDef& y = graph.nodes[1];
  ASSERT_EQ(y.inputs.size(), 3u);
  EXPECT_EQ(y.inputs[1].node, "w");
  EXPECT_EQ(y.inputs[1].port, 2);
  EXPECT_EQ(y.inputs[2].port, -1);
  EXPECT_EQ(y.device, "/gpu:1");
  EXPECT_TRUE(y.transpose_b);
  EXPECT_THAT(y.groups, ElementsAre("w"));
  EXPECT_THAT(y.output_shapes, ElementsAre(TensorShape{4}, std::nullopt));
  EXPECT_FALSE(graph.has_functions);
}

TEST(GraphDefText, TakesTheLastAttributeOfANameAndNoHeedOfTheirOrder) {
  const std::string shape = "attr { key: 'shape' value { shape { dim { size: 4 } } } }";
  const std::string value =
      "attr { key: 'value' value { tensor { tensor_shape { dim { size: 5 } } } } }";
  const auto classed = [](const std::string& group) {
    return "attr { key: '_class' value { list { s: 'loc:@" + group + "' } } }";
  };
  EXPECT_THAT(NodeOf(classed("a") + classed("b")).groups, ElementsAre("b"));
  EXPECT_EQ(NodeOf(shape + value).shape, NodeOf(value + shape).shape);
}

TEST(GraphDefText, EverySpellingOfTheFormatIsRead) {
  const std::string inputs = R"(input: ["a" 'b', "\141\x62\u00e9\U0001F600\n\"", "tail";])";
  EXPECT_EQ(ErrorOf("node<name:'n',op:'o'>;"), "accepted");
  EXPECT_EQ(ErrorOf("node: [{name:'n' op:'o'}, <name:'m' op:'o'>]"), "accepted");
  EXPECT_THAT(ErrorOf("node { name: 'n' op: 'o' " + inputs + "}"), HasSubstr("']' is expected"));
  const NodeDef node =
      NodeOf(R"(input: ["a" 'b', "\141\x62\u00e9\U0001F600\n\""], input: [] input: 'c';)");
  ASSERT_EQ(node.inputs.size(), 3u);
  EXPECT_EQ(node.inputs[0].node, "ab");
  EXPECT_EQ(node.inputs[1].node, "ab\u00e9\U0001F600\n\"");
  EXPECT_EQ(node.inputs[2].node, "c");
  for (const char* size : {"255", "0xFF", "0Xff", "0377"}) {
    const NodeDef shaped =
        NodeOf("attr { key: 'shape' value: { shape { dim < size: " + std::string(size) +
               " > dim { size: - 1 } } } }");
    EXPECT_EQ(shaped.shape, (TensorShape{255, -1})) << size;
  }
  for (const char* yes : {"true", "True", "t", "1"}) {
    const std::string attr = "attr { key: 'adj_x' value { b: " + std::string(yes) + "} }";
    EXPECT_TRUE(NodeOf(attr).transpose_a);
  }
  EXPECT_EQ(NodeOf("attr { key: 'T' value { type: DT_FLOAT_REF } }").type, 101);
  EXPECT_EQ(NodeOf("attr { key: 'T' value { type: 19 } }").type, 19);
}

TEST(GraphDefText, WhatIsNotReadIsSkippedWhole) {
  EXPECT_EQ(AttrErrorOf(R"(tensor { dtype: DT_FLOAT float_val: [1.5e-3, -inf, .5f, nan]
                                    tensor_content: "}]>" '\'}' resource { a < b: [{}, {}] > } })"),
            "accepted");
  EXPECT_EQ(AttrErrorOf("f: - inf"), "accepted");
  EXPECT_EQ(AttrErrorOf("func { name: 'g' attr { key: 'x' value { i: 1 } } }"), "accepted");
  const GraphDef graph = ParseGraphDefText(
      "node { name: 'n' op: 'o' } library { function { [type.googleapis.com/a.B] { c: 1 } } }",
      "f");
  EXPECT_TRUE(graph.has_functions);
}

TEST(GraphDefText, ErrorsNameLineAndColumn) {
  EXPECT_EQ(ErrorOf("node {\n  name: 'n'\n  opp: 'o'\n}"),
            "NodeDef has no field 'opp': f.pbtxt:3:3");
  EXPECT_EQ(ErrorOf("node { name: 'n' }"), "NodeDef without op: f.pbtxt:1:8");
  EXPECT_EQ(ErrorOf("node { name: '' op: 'o' }"), "name is empty: f.pbtxt:1:14");
  EXPECT_EQ(ErrorOf("node { name: 'n' name: 'm' }"), "NodeDef has name twice: f.pbtxt:1:18");
  EXPECT_EQ(ErrorOf("node { name: 'n\n' }"), "a text does not end: f.pbtxt:1:14");
  EXPECT_EQ(ErrorOf("node { name: 3 }"), "a text is expected, not '3': f.pbtxt:1:14");
  EXPECT_EQ(ErrorOf("node { name: 'n' op: 'o'"),
            "a field of NodeDef is expected, not the end: f.pbtxt:1:25");
  EXPECT_EQ(ErrorOf("node { name: 'n' op: 'o' >"),
            "a field of NodeDef is expected, not '>': f.pbtxt:1:26");
  EXPECT_EQ(ErrorOf("node { name: 'n' op: 'o' } %"),
            "the character '%' does not belong here: f.pbtxt:1:28");
  EXPECT_THAT(ErrorOf("ir_version: 8"), HasSubstr("GraphDef has no field 'ir_version'"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no nodes"));
  for (const char* escape : {"\\400", "\\xg", "\\ud800", "\\u12", "\\U00110000", "\\q"})
    EXPECT_THAT(ErrorOf("node { name: '" + std::string(escape) + "' }"), HasSubstr("f.pbtxt:1:"));
}

TEST(GraphDefText, ValuesOfAnotherTypeAreRefused) {
  EXPECT_THAT(AttrErrorOf("b: 2"), HasSubstr("true or false is expected, not '2'"));
  EXPECT_THAT(AttrErrorOf("type: DT_FLAOT"), HasSubstr("a value of type is expected"));
  EXPECT_THAT(AttrErrorOf("type: 2147483648"), HasSubstr("out of range"));
  EXPECT_THAT(AttrErrorOf("shape { dim { size: 1.5 } }"), HasSubstr("a whole number"));
  EXPECT_THAT(AttrErrorOf("shape { dim { size: 089 } }"), HasSubstr("a whole number"));
  EXPECT_THAT(AttrErrorOf("shape { dim { size: 9223372036854775808 } }"), HasSubstr("range"));
  EXPECT_EQ(AttrErrorOf("shape { dim { size: -9223372036854775808 } }"), "accepted");
  EXPECT_THAT(AttrErrorOf("shape: 3"), HasSubstr("'{' is expected"));
  EXPECT_THAT(AttrErrorOf("i: }"), HasSubstr("a value is expected"));
  EXPECT_THAT(AttrErrorOf("i 3"), HasSubstr("'{' is expected, not '3'"));
  EXPECT_THAT(AttrErrorOf("func { a: [1 2] }"), HasSubstr("']' is expected, not '2'"));
}

TEST(GraphDefText, DepthIsBounded) {
  const auto nested = [](int depth) {
    std::string text;
    for (int i = 0; i < depth; ++i) text += "a {";
    return "node { name: 'n' op: 'o' } library { function {" + text +
           std::string(static_cast<size_t>(depth), '}') + "} }";
  };
  EXPECT_EQ(ErrorOf(nested(90)), "accepted");
  EXPECT_THAT(ErrorOf(nested(100'000)), HasSubstr("more than 100 messages in each other"));
}

RC_GTEST_PROP(GraphDefText, AnyNameComesThroughEscapes, (const std::string& name)) {
  RC_PRE(!name.empty());
  std::string text = "node { op: 'o' name: \"";
  for (const char c : name) {
    static constexpr char kDigits[] = "01234567";
    const auto byte = static_cast<unsigned char>(c);
    text += {'\\', kDigits[byte >> 6], kDigits[byte >> 3 & 7], kDigits[byte & 7]};
  }
  RC_ASSERT(ParseGraphDefText(text + "\" }", "f").nodes.at(0).name == name);
}

}  // namespace orchard::place::tensorflow
