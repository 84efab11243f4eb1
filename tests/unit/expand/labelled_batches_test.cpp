#include "expand/labelled_batches.h"

#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "expand/task_scores.h"
#include "expand/train_model.h"
#include "io/json_file.h"
#include "nn/model_directory.h"
#include "unit/expand/tiny_training.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using orchard::testing::ScratchDir;
using ::testing::ElementsAre;

void Write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

TrainDataOptions Texts(const fs::path& train, const fs::path& valid = {}) {
  TrainDataOptions o;
  o.kind = DataKind::kLabels;
  o.train = train.string();
  o.valid = valid.string();
  o.block = 6;
  return o;
}

std::vector<int64_t> Values(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

TEST(LabelledBatches, PadsToTheLongestAndCutsTheRest) {
  const ScratchDir scratch;
  Write(scratch / "t.tsv", "text_a\tlabel\nab\tno\ncdefghij\tyes\n");
  const text::Tokenizer bytes = text::Tokenizer::Bytes();
  TrainDataOptions options = Texts(scratch / "t.tsv");
  options.holdout = 0;
  const auto batches = OpenLabelledBatches(options, &bytes);
  const std::vector<data::Sample> both = {{0, 0, 0}, {1, 0, 1}};
  const Example e = batches->Train(both);
  EXPECT_THAT(Values(e.inputs.tokens), ElementsAre('a', 'b', 256, 256, 256, 256,  //
                                                   'c', 'd', 'e', 'f', 'g', 'h'));
  EXPECT_THAT(Values(e.inputs.attention_mask), ElementsAre(1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(Values(e.labels), ElementsAre(0, 1));
  EXPECT_EQ(e.predictions, 2);
  EXPECT_EQ(batches->valid_size(), 0);
}

TEST(LabelledBatches, NumbersTheClassesOfValidationAsInTraining) {
  const ScratchDir scratch;
  Write(scratch / "train.csv", "text_a,label\na,x\nb,y\nc,z\n");
  Write(scratch / "valid.csv", "text_a,label\nd,z\ne,y\n");
  Write(scratch / "odd.csv", "text_a,label\nd,w\n");
  const text::Tokenizer bytes = text::Tokenizer::Bytes();
  const auto batches =
      OpenLabelledBatches(Texts(scratch / "train.csv", scratch / "valid.csv"), &bytes);
  EXPECT_THAT(Values(batches->Valid(0, 2).labels), ElementsAre(2, 1));
  EXPECT_THROW(OpenLabelledBatches(Texts(scratch / "train.csv", scratch / "odd.csv"), &bytes),
               DataError);
}

TEST(LabelledBatches, HoldsOutARandomPart) {
  const ScratchDir scratch;
  std::string text = "text_a,label\n";
  for (int i = 0; i < 40; ++i) text += std::to_string(i) + (i < 20 ? ",old\n" : ",new\n");
  Write(scratch / "t.csv", text);
  const text::Tokenizer bytes = text::Tokenizer::Bytes();
  TrainDataOptions options = Texts(scratch / "t.csv");
  options.holdout = 0.25;
  const auto batches = OpenLabelledBatches(options, &bytes);
  EXPECT_EQ(batches->train_size(), 30);
  ASSERT_EQ(batches->valid_size(), 10);
  // Sorted by label as the file is, its end would hold one class only.
  EXPECT_THAT(Values(batches->Valid(0, 10).labels), ::testing::Contains(0));
}

// Texts of one byte: vowels or not, and its place in the alphabet.
void WriteLetters(const fs::path& path, bool regression) {
  std::string text = "text_a,label\n";
  for (int repeat = 0; repeat < 4; ++repeat) {
    for (char c = 'a'; c <= 'z'; ++c) {
      const bool vowel = std::string("aeiou").find(c) != std::string::npos;
      text += std::string(1, c) + "," +
              (regression ? std::to_string((c - 'a') / 25.0)
               : vowel    ? "vowel"
                          : "other") +
              "\n";
    }
  }
  Write(path, text);
}

TrainOptions Letters(const fs::path& file, const std::string& type) {
  TrainOptions o = TinyTraining();
  o.model.type = type;
  o.model.dropout = 0;
  o.data = Texts(file, file);
  o.opt.ema = 0;
  o.opt.lr = 1e-2;
  o.sched.epochs = 12;
  o.sched.warmup_part = 0.1;
  o.sched.schedule.kind = nn::ScheduleKind::kLinear;
  o.run.batch = 8;
  o.run.eval_epochs = true;
  o.run.eval_batches = 0;
  o.run.keep_best = true;
  return o;
}

TEST(Finetune, LearnsClasses) {
  for (const char* type : {"bert", "gpt2", "roberta", "distilbert", "llama"}) {
    const ScratchDir scratch;
    WriteLetters(scratch / "t.csv", false);
    const TrainResult result = TrainInto(scratch / "run", Letters(scratch / "t.csv", type));
    EXPECT_GT(result.best->scores.at("f1"), 0.95) << type;
    EXPECT_GT(result.best->scores.at("matthews"), 0.9) << type;
    EXPECT_EQ(result.best->selected, result.best->scores.at("accuracy"));
    EXPECT_EQ(std::fmod(result.best->epoch, 1), 0) << "an epoch is 13 steps";
  }
}

TEST(Finetune, LearnsNumbersAndResumes) {
  const ScratchDir scratch;
  WriteLetters(scratch / "t.csv", true);
  TrainOptions options = Letters(scratch / "t.csv", "bert");
  options.data.columns.regression = true;
  options.model.dropout = 0.01;
  options.run.ranks = 1;
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_GT(result.best->scores.at("spearman"), 0.9);
  EXPECT_GT(result.best->scores.at("pearson"), 0.9);
  TrainOneStepInto(scratch / "stopped", options);
  TrainOneStepInto(scratch / "stopped", options, true);
  const TrainResult again = TrainInto(scratch / "stopped", options, true);
  EXPECT_EQ(FinalWeights(scratch / "run"), FinalWeights(scratch / "stopped"));
  EXPECT_EQ(ToJson(*again.best), ToJson(*result.best));
}

// Three ranks see what one with three micro-batches sees, predictions included.
TEST(Finetune, RanksEqualMicroBatches) {
  const ScratchDir scratch;
  WriteLetters(scratch / "t.csv", false);
  TrainOptions options = Letters(scratch / "t.csv", "bert");
  options.sched.epochs = 2;
  options.run.batch = 3;
  options.run.accum = 3;
  TrainInto(scratch / "one", options);
  options.run.accum = 1;
  options.run.ranks = 3;
  TrainInto(scratch / "three", options);
  EXPECT_EQ(FinalWeights(scratch / "one"), FinalWeights(scratch / "three"));
  EXPECT_EQ(Metrics(scratch / "one").back()["matthews"],
            Metrics(scratch / "three").back()["matthews"]);
}

TEST(Finetune, ReplacesTheHeadOfPreTraining) {
  const ScratchDir scratch;
  TrainOptions pretraining = TinyTraining();
  pretraining.data.kind = DataKind::kMlm;
  pretraining.model.type = "bert";
  TrainInto(scratch / "source", pretraining);
  WriteLetters(scratch / "t.csv", false);
  TrainOptions options = Letters(scratch / "t.csv", "");
  options.model.path = scratch / "source/final";
  options.sched.epochs = 1;
  TrainInto(scratch / "run", options);
  const io::Checkpoint tuned = io::Checkpoint::Open(scratch / "run/best");
  EXPECT_NE(tuned.Find("classifier.weight"), nullptr);
  EXPECT_NE(tuned.Find("bert.pooler.dense.weight"), nullptr);
  EXPECT_NE(tuned.Find("bert.embeddings.word_embeddings.weight"), nullptr);
  EXPECT_EQ(tuned.Find("cls.predictions.bias"), nullptr);
  const nlohmann::json config = io::ReadJsonFile(scratch / "run/best/config.json");
  EXPECT_EQ(config["architectures"][0], "BertForSequenceClassification");
  EXPECT_EQ(config["id2label"], (nlohmann::json{{"0", "other"}, {"1", "vowel"}}));
  EXPECT_EQ(config["problem_type"], "single_label_classification");
  // Two classes again: the head is kept.
  options.model.path = scratch / "run/best";
  options.opt.lr = 1e-12;
  const TrainResult again = TrainInto(scratch / "again", options);
  EXPECT_NEAR(*again.first_valid_loss, *again.valid_loss, 1e-6);
}

TEST(TaskScores, KnowsWhichScoreAValidationHas) {
  Evaluation tokens{.summed_loss = 6, .predictions = 3};
  EXPECT_EQ(Selected(tokens, Selection::kAuto), -2);
  EXPECT_THROW(Selected(tokens, Selection::kF1), UsageError);
  Evaluation constant{.summed_loss = 1, .predictions = 2, .per_sample = true};
  constant.regression = true;
  constant.predicted = {1, 1};
  constant.truth = {0, 1};
  EXPECT_EQ(Selected(constant, Selection::kAuto), -INFINITY);  // no correlation
}

}  // namespace
}  // namespace orchard::expand
