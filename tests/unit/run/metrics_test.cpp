#include "run/metrics.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "unit/scratch_dir.h"

namespace orchard::run {
namespace {

using nlohmann::json;
using testing::ReadText;
using testing::ScratchDir;
using testing::WriteText;

std::vector<json> Lines(const std::filesystem::path& path) {
  std::vector<json> lines;
  std::istringstream text(ReadText(path));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(Metrics, WritesOneObjectPerLineWithItsStep) {
  ScratchDir scratch;
  MetricsWriter metrics(scratch / "metrics.jsonl");
  metrics.Write(1, {{"loss", 2.5}, {"tokens", int64_t{4096}}, {"kind", "train"}, {"best", true}});
  EXPECT_EQ(ReadText(scratch / "metrics.jsonl"),
            "{\"step\":1,\"loss\":2.5,\"tokens\":4096,\"kind\":\"train\",\"best\":true}\n");
}

TEST(Metrics, SaysWhyAValueIsNull) {
  ScratchDir scratch;
  MetricsWriter metrics(scratch / "metrics.jsonl");
  const double inf = std::numeric_limits<double>::infinity();
  metrics.Write(3, {{"a", std::nan("")}, {"b", inf}, {"c", -inf}});
  EXPECT_EQ(Lines(scratch / "metrics.jsonl")[0], (json{{"step", 3},
                                                       {"a", nullptr},
                                                       {"a_reason", "nan"},
                                                       {"b", nullptr},
                                                       {"b_reason", "inf"},
                                                       {"c", nullptr},
                                                       {"c_reason", "-inf"}}));
}

RC_GTEST_PROP(Metrics, DoublesReadBackAsTheSameBits, (uint64_t bits)) {
  const double value = std::bit_cast<double>(bits);
  RC_PRE(std::isfinite(value));
  static ScratchDir scratch;
  {
    MetricsWriter metrics(scratch / "metrics.jsonl");
    metrics.Write(0, {{"v", value}});
  }
  const json line = Lines(scratch / "metrics.jsonl").at(0);
  RC_ASSERT(line.at("v").is_number_float());
  RC_ASSERT(std::bit_cast<uint64_t>(line.at("v").get<double>()) == bits);
}

RC_GTEST_PROP(Metrics, AResumedFileReadsAsIfNeverInterrupted, ()) {
  const auto total = *rc::gen::inRange<int64_t>(1, 30);
  const auto checkpoint = *rc::gen::inRange<int64_t>(0, total + 1);
  const auto reached = *rc::gen::inRange<int64_t>(checkpoint, total + 1);
  const auto torn = *rc::gen::inRange<size_t>(0, 8);  // bytes of a line cut short by a kill
  static ScratchDir scratch;
  const auto path = scratch / "metrics.jsonl";
  const auto run = [](MetricsWriter metrics, int64_t begin, int64_t end) {
    for (int64_t step = begin; step <= end; ++step) {
      metrics.Write(step, {{"loss", 1.0 / static_cast<double>(step)}});
      if (step % 3 == 0) metrics.Write(step, {{"eval_loss", 0.1 * static_cast<double>(step)}});
    }
  };
  run(MetricsWriter(path), 1, total);
  const std::string whole = ReadText(path);

  run(MetricsWriter(path), 1, reached);
  WriteText(path, ReadText(path) + std::string("{\"step\":").substr(0, torn));
  run(MetricsWriter(path, checkpoint), checkpoint + 1, total);
  RC_ASSERT(ReadText(path) == whole);
}

TEST(Metrics, NamesTheLineThatIsDamaged) {
  ScratchDir scratch;
  WriteText(scratch / "metrics.jsonl", "{\"step\":1}\nrubbish\n{\"step\":3}\n");
  try {
    MetricsWriter metrics(scratch / "metrics.jsonl", 5);
    FAIL() << "accepted";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl:2"), std::string::npos) << error.what();
  }
}

TEST(Metrics, HostileKeysAndTextStayOneLine) {
  ScratchDir scratch;
  MetricsWriter metrics(scratch / "metrics.jsonl");
  metrics.Write(1, {{"a\nb\"", "line\nfeed \xFF \"quote\""}});
  const auto lines = Lines(scratch / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("a\nb\""), "line\nfeed \xEF\xBF\xBD \"quote\"");
}

}  // namespace
}  // namespace orchard::run
