// Command lines: flags, positionals, lists, and what is said about wrong ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/cli/options_for_test.h"

namespace orchard::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Flags, TakeValuesOfEveryKind) {
  const Resolved r({"--learning-rate", "1e-4", "--note=a b", "--hidden", "768", "--shape", "wsd",
                    "--cache", "/tmp/x", "--limit=-2.5", "-p", "plan.json", "here"});
  EXPECT_EQ(r.options.train.learning_rate, 1e-4);
  EXPECT_EQ(r.options.note, "a b");
  EXPECT_EQ(r.options.hidden, 768);
  EXPECT_EQ(r.options.shape, Shape::kWarmupStableDecay);
  EXPECT_EQ(r.options.cache, "/tmp/x");
  EXPECT_EQ(r.options.limit, -2.5);
  EXPECT_EQ(r.options.plan, "plan.json");
  EXPECT_EQ(r.options.source, "here");
}

TEST(Flags, TakeNegativeNumbersAsValues) {
  EXPECT_EQ(Resolved({"--limit", "-1e3"}).options.limit, -1000);
}

TEST(Flags, OfTruthValuesHaveANegation) {
  EXPECT_FALSE(Resolved({"--no-shuffle"}).options.train.shuffle);
  EXPECT_TRUE(Resolved({"--no-shuffle", "--shuffle"}).options.train.shuffle);
  EXPECT_FALSE(Resolved({"--shuffle=false"}).options.train.shuffle);
  EXPECT_EQ(Resolved({"--exact"}).options.eval.exact, true);
  EXPECT_EQ(Resolved().options.eval.exact, std::nullopt);
}

TEST(Flags, OfListsSplitAtCommasAndRepeat) {
  EXPECT_THAT(Resolved({"--betas", "0.8,0.95"}).options.train.betas, ElementsAre(0.8, 0.95));
  EXPECT_THAT(Resolved({"--sizes", "1", "--sizes", "2,3", "here"}).options.sizes,
              ElementsAre(1, 2, 3));
  EXPECT_THAT(Resolved({"--words", "a\\,b,c"}).options.words, ElementsAre("a,b", "c"));
}

TEST(Flags, GivenTwiceKeepTheLastValue) {
  EXPECT_EQ(Resolved({"--note", "a", "--note", "b"}).options.note, "b");
}

TEST(Flags, CarryTheirSectionWhereTwoSectionsShareAKey) {
  const Resolved r({"--train-steps", "5", "--eval-steps", "7"});
  EXPECT_EQ(r.options.train.steps, 5);
  EXPECT_EQ(r.options.eval.steps, 7);
  EXPECT_THAT(ErrorOf({"--steps", "5", "x"}), HasSubstr("unknown flag: --steps"));
}

TEST(Flags, OfCommonOptionsWorkInEveryCommand) {
  const Resolved r({"--seed", "7", "--threads", "3", "--json", "--dry-run", "--out", "run"});
  EXPECT_EQ(r.common.seed, 7);
  EXPECT_EQ(r.common.Threads(), 3);
  EXPECT_TRUE(r.common.json && r.common.dry_run);
  EXPECT_EQ(r.common.out, "run");
}

TEST(Positionals, MayStandBetweenFlagsAndTakeTheRest) {
  const Resolved r({"here", "--note", "x", "a", "b,c", "--", "--d"});
  EXPECT_EQ(r.options.source, "here");
  EXPECT_THAT(r.options.names, ElementsAre("a", "b,c", "--d"));
}

TEST(Positionals, ThatAreMissingAreNamed) {
  EXPECT_EQ(ErrorOf({}), "an argument is missing: SOURCE, where to start (--help shows the usage)");
}

TEST(Positionals, MayComeFromAFile) { EXPECT_EQ(ErrorOf({}, "source = 'x'"), ""); }

TEST(FlagErrors, NameTheNearestFlag) {
  EXPECT_EQ(ErrorOf({"--hiden", "4"}), "unknown flag: --hiden (did you mean '--hidden'?)");
  EXPECT_EQ(ErrorOf({"--learning_rate=4"}),
            "unknown flag: --learning_rate (did you mean '--learning-rate'?)");
  EXPECT_EQ(ErrorOf({"--zzzzzz"}), "unknown flag: --zzzzzz (--help lists the flags)");
}

TEST(FlagErrors, RejectOtherValuesOfTruthValues) {
  EXPECT_NE(ErrorOf({"--shuffle=maybe", "x"}), "");
  EXPECT_NE(ErrorOf({"--no-shuffle=maybe", "x"}), "");
}

TEST(FlagErrors, SayThatAValueIsMissing) {
  EXPECT_EQ(ErrorOf({"x", "--note"}), "the flag needs a value: --note");
}

TEST(FlagErrors, SayTheLegalRange) {
  EXPECT_EQ(ErrorOf({"--train-steps", "0"}),
            "value '0' is out of range: --train-steps (use an integer >= 1)");
  EXPECT_EQ(ErrorOf({"--learning-rate", "0"}),
            "value '0' is out of range: --learning-rate (use a number > 0)");
  EXPECT_EQ(ErrorOf({"--betas", "0.9,1"}),
            "value '1' is out of range: --betas (use a list; each element a number in [0, 1))");
}

TEST(FlagErrors, RejectWhatIsNotANumber) {
  EXPECT_THAT(ErrorOf({"--train-steps", "3x"}), HasSubstr("'3x' is not an integer"));
  EXPECT_THAT(ErrorOf({"--train-steps", "99999999999999999999"}), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf({"--limit", "nan"}), HasSubstr("not a finite number"));
  EXPECT_THAT(ErrorOf({"--limit", "1e999"}), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf({"--limit", ""}), HasSubstr("not a number"));
  EXPECT_THAT(ErrorOf({"--sizes", "1,,2"}), HasSubstr("'' is not an integer"));
}

TEST(FlagErrors, NameTheNearestEnumerationValue) {
  EXPECT_EQ(ErrorOf({"--schedule", "cosin"}),
            "unknown value 'cosin': --schedule (did you mean 'cosine'? use one of cosine, linear, "
            "wsd)");
}

TEST(FlagErrors, RejectTextThatIsNotUtf8) {
  EXPECT_THAT(ErrorOf({"--note", "\xFF\xFE"}), HasSubstr("not UTF-8"));
}

TEST(Set, AssignsByKey) {
  const Resolved r({"--set", "train.learning_rate=1e-4", "--set", "note=a=b", "--set",
                    "train.betas=0.5,0.6", "--set", "common.seed=3"});
  EXPECT_EQ(r.options.train.learning_rate, 1e-4);
  EXPECT_EQ(r.options.note, "a=b");
  EXPECT_THAT(r.options.train.betas, ElementsAre(0.5, 0.6));
  EXPECT_EQ(r.common.seed, 3);
}

TEST(Set, NamesTheNearestKey) {
  EXPECT_THAT(ErrorOf({"--set", "train.step=1"}), HasSubstr("did you mean 'train.steps'?"));
  EXPECT_THAT(ErrorOf({"--set", "learning_rate=1"}),
              HasSubstr("did you mean 'train.learning_rate'?"));
  EXPECT_THAT(ErrorOf({"--set", "note"}), HasSubstr("--set needs KEY=VALUE"));
}

TEST(Priority, RisesFromDefaultOverFileAndSetToFlag) {
  const std::string file = "[train]\nsteps = 2\nlearning_rate = 0.2\nshuffle = false\n";
  const std::vector<std::string> set = {"--set", "train.steps=3", "--set",
                                        "train.learning_rate=0.3"};
  std::vector<std::string> all = {"--train-steps", "4"};
  all.insert(all.end(), set.begin(), set.end());
  EXPECT_EQ(Resolved().options.train.steps, 2000);
  EXPECT_EQ(Resolved({}, file).options.train.steps, 2);
  EXPECT_EQ(Resolved(set, file).options.train.steps, 3);
  const Resolved r(all, file);
  EXPECT_EQ(r.options.train.steps, 4);
  EXPECT_EQ(r.options.train.learning_rate, 0.3);
  EXPECT_FALSE(r.options.train.shuffle);
  EXPECT_EQ(r.options.train.schedule, Shape::kCosine);
}

TEST(Priority, ListsAreReplacedAsAWhole) {
  EXPECT_THAT(Resolved({"--sizes", "7"}, "sizes = [1, 2]").options.sizes, ElementsAre(7));
}

struct BadDefault {
  int64_t steps = 0;
  void Fields(FieldVisitor& f) { f("steps", steps, "steps", AtLeast(1)); }
};
struct Twice {
  int64_t a = 0, b = 0;
  void Fields(FieldVisitor& f) {
    f("steps", a, "steps");
    f("steps", b, "steps");
  }
};
struct NeedsSize {
  int64_t size = 0;
  void Fields(FieldVisitor& f) { f("size", size, "size", Required(AtLeast(1))); }
};

TEST(Table, RejectsADefaultThatBreaksItsConstraint) {
  FieldTable table;
  BadDefault options;
  EXPECT_THROW(table.Add(options), Error);
}

TEST(Table, RejectsAKeyDeclaredTwice) {
  FieldTable table;
  Twice options;
  EXPECT_THROW(table.Add(options), Error);
}

TEST(Table, InsistsOnRequiredFlags) {
  FieldTable table;
  NeedsSize options;
  table.Add(options);
  table.NameFlags();
  EXPECT_THROW(CheckRequired(table), UsageError);
  Resolve({"--size", "3"}, table);
  EXPECT_NO_THROW(CheckRequired(table));
  EXPECT_EQ(options.size, 3);
}

}  // namespace
}  // namespace orchard::cli
