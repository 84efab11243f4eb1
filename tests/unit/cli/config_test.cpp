// Configuration files: what they may hold, where errors point, and the round trip through
// --print-config.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>

#include "unit/cli/options_for_test.h"

namespace orchard::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Config, FillsSectionsAndLists) {
  const Resolved r({}, R"(
source = "model"
max_ram = "512MiB"
target_params = 1000
files = ["a", 'b\c']
[train]
schedule = "linear"
betas = [0.5, 0]
[common]
seed = 9
)");
  EXPECT_EQ(r.options.source, "model");
  EXPECT_EQ(r.options.max_ram, 512 << 20);
  EXPECT_EQ(r.options.target_params, 1000);
  EXPECT_THAT(r.options.files, ElementsAre("a", "b\\c"));
  EXPECT_EQ(r.options.train.schedule, Shape::kLinear);
  EXPECT_THAT(r.options.train.betas, ElementsAre(0.5, 0.0));
  EXPECT_EQ(r.common.seed, 9);
}

TEST(ConfigErrors, PointAtUnknownKeysAndNameTheNearest) {
  EXPECT_EQ(ErrorOf({}, "[train]\nstep = 3\n"),
            "unknown key 'train.step': run.toml:2:1 (did you mean 'train.steps'?)");
  EXPECT_EQ(ErrorOf({}, "learning_rate = 3\n"),
            "unknown key 'learning_rate': run.toml:1:1 (did you mean 'train.learning_rate'?)");
  EXPECT_THAT(ErrorOf({}, "[trian]\nsteps = 3\n"),
              HasSubstr("unknown section 'trian': run.toml:1:2 (did you mean 'train'?)"));
}

TEST(ConfigErrors, RejectFlagsThatBelongToOneCall) {
  EXPECT_THAT(ErrorOf({}, "[common]\nforce = true\n"), HasSubstr("unknown key 'common.force'"));
}

TEST(ConfigErrors, PointAtWrongTypes) {
  EXPECT_EQ(ErrorOf({}, "[train]\n  steps = \"many\"\n"),
            "value 'many' is a text, not an integer: run.toml:2:11, key 'train.steps' (use an "
            "integer >= 1)");
  EXPECT_THAT(ErrorOf({}, "[train]\nsteps = 1.5\n"), HasSubstr("value 1.5 is not an integer"));
  EXPECT_THAT(ErrorOf({}, "note = 1\n"), HasSubstr("value 1 is not a text: run.toml:1:8"));
  EXPECT_THAT(ErrorOf({}, "sizes = 1\n"), HasSubstr("an integer, not a list: run.toml:1:9"));
  EXPECT_THAT(ErrorOf({}, "note = [1]\n"), HasSubstr("the value is a list"));
  EXPECT_THAT(ErrorOf({}, "note = 1979-05-27\n"), HasSubstr("a date or time"));
  EXPECT_THAT(ErrorOf({}, "train = 1\n"), HasSubstr("unknown key 'train'"));
  EXPECT_THAT(ErrorOf({}, "[note]\n"), HasSubstr("the value is a table: run.toml:1:1, key 'note'"));
}

TEST(ConfigErrors, PointAtTheElementThatIsOutOfRange) {
  EXPECT_THAT(ErrorOf({}, "[train]\nbetas = [0.5,\n  1.5]\n"),
              HasSubstr("value 1.5 is out of range: run.toml:3:3"));
}

TEST(ConfigErrors, PointAtSyntaxErrors) {
  EXPECT_THAT(ErrorOf({}, "a = = 1\n"), HasSubstr("run.toml:1:"));
  EXPECT_THAT(ErrorOf({}, "note = 'a'\nnote = 'b'\n"), HasSubstr("run.toml:2:"));
  EXPECT_THAT(ErrorOf({}, "note = 'a\xFF'\n"), HasSubstr("run.toml:1:"));
}

TEST(ConfigErrors, NameAFileThatCannotBeRead) {
  EXPECT_THAT(ErrorOf({"--config", "/nonexistent/run.toml"}),
              HasSubstr("cannot be read: /nonexistent/run.toml"));
  EXPECT_THAT(ErrorOf({"--config", "/tmp"}), HasSubstr("not a regular file: /tmp"));
}

TEST(PrintedConfig, ExplainsEveryKey) {
  const std::string text = Resolved().Toml();
  EXPECT_THAT(text, HasSubstr("# optimiser steps (an integer >= 1; default 2000)\nsteps = 2000\n"));
  EXPECT_THAT(text, HasSubstr("# upper limit (a number)\n# limit =\n"));
  EXPECT_THAT(text, HasSubstr("\n# nowhere =\n"));
  EXPECT_THAT(text, HasSubstr("\n[common]\n"));
  EXPECT_THAT(text, HasSubstr("max_ram = \"1GB\""));
  EXPECT_THAT(text, Not(HasSubstr("force")));
}

// Any double but NaN and infinities, by its bits: subnormals, huge and tiny ones included.
rc::Gen<double> AnyFinite() {
  return rc::gen::suchThat(rc::gen::map(rc::gen::arbitrary<uint64_t>(),
                                        [](uint64_t b) { return std::bit_cast<double>(b); }),
                           [](double x) { return std::isfinite(x); });
}

// Any valid UTF-8 without the zero character.
rc::Gen<std::string> AnyText() {
  const auto piece = rc::gen::elementOf(std::vector<std::string>{
      "a", "\"", "\\", "\n", "\t", "\x01", "\x7F", "#", "=", ",", "'", "é", "木", "🍎", " ", "]"});
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(piece),
                      [](const std::vector<std::string>& pieces) {
                        std::string text;
                        for (const std::string& p : pieces) text += p;
                        return text;
                      });
}

rc::Gen<std::string> AnyPath() {
  return rc::gen::map(AnyText(), [](std::string text) { return "p" + text; });
}

int64_t AnyPositive() {
  return *rc::gen::suchThat(rc::gen::arbitrary<int64_t>(), [](int64_t n) { return n > 0; });
}

void Randomise(EveryKind& o) {
  o.source = *AnyPath();
  o.names = *rc::gen::container<std::vector<std::string>>(AnyText());
  o.note = *AnyText();
  if (*rc::gen::arbitrary<bool>()) o.hidden = AnyPositive();
  if (*rc::gen::arbitrary<bool>()) o.limit = *AnyFinite();
  if (*rc::gen::arbitrary<bool>()) o.label = *AnyText();
  if (*rc::gen::arbitrary<bool>()) o.plan = *AnyPath();
  if (*rc::gen::arbitrary<bool>()) o.shape = Shape::kLinear;
  o.sizes = *rc::gen::arbitrary<std::vector<int64_t>>();
  o.words = *rc::gen::container<std::vector<std::string>>(AnyText());
  o.max_ram = AnyPositive() >> *rc::gen::inRange(0, 62) | 1;
  o.target_params = *rc::gen::inRange<int64_t>(1, 100) *
                    *rc::gen::elementOf(std::vector<int64_t>{1, 1000, 1'000'000, 100'000'000});
  o.train.learning_rate = std::abs(*AnyFinite()) + std::numeric_limits<double>::denorm_min();
  o.train.schedule = *rc::gen::element(Shape::kCosine, Shape::kLinear, Shape::kWarmupStableDecay);
  o.train.shuffle = *rc::gen::arbitrary<bool>();
  if (*rc::gen::arbitrary<bool>()) o.eval.exact = *rc::gen::arbitrary<bool>();
}

RC_GTEST_PROP(PrintedConfig, ReadsBackToTheSameValues, ()) {
  Resolved random;
  Randomise(random.options);
  random.common.seed = AnyPositive();
  random.table.Find("source")->source = Source::kFlag;
  const std::string text = random.Toml();
  const Resolved again({}, text);
  RC_ASSERT(again.options.source == random.options.source);
  RC_ASSERT(again.options.names == random.options.names);
  RC_ASSERT(again.options.note == random.options.note);
  RC_ASSERT(again.options.hidden == random.options.hidden);
  RC_ASSERT(again.options.limit.has_value() == random.options.limit.has_value());
  if (random.options.limit) {
    RC_ASSERT(std::bit_cast<uint64_t>(*again.options.limit) ==
              std::bit_cast<uint64_t>(*random.options.limit));
  }
  RC_ASSERT(again.options.label == random.options.label);
  RC_ASSERT(again.options.plan == random.options.plan);
  RC_ASSERT(again.options.shape == random.options.shape);
  RC_ASSERT(again.options.sizes == random.options.sizes);
  RC_ASSERT(again.options.words == random.options.words);
  RC_ASSERT(again.options.max_ram == random.options.max_ram);
  RC_ASSERT(again.options.target_params == random.options.target_params);
  RC_ASSERT(again.options.train.learning_rate == random.options.train.learning_rate);
  RC_ASSERT(again.options.train.schedule == random.options.train.schedule);
  RC_ASSERT(again.options.train.shuffle == random.options.train.shuffle);
  RC_ASSERT(again.options.eval.exact == random.options.eval.exact);
  RC_ASSERT(again.common.seed == random.common.seed);
  Resolved once_more({}, text);
  once_more.table.Find("source")->source = Source::kFlag;
  RC_ASSERT(once_more.Toml() == text);
}

}  // namespace
}  // namespace orchard::cli
