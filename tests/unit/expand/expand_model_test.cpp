#include "expand/expand_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <fstream>
#include <map>

#include "base/error.h"
#include "base/signals.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using orchard::testing::ReadText;
using orchard::testing::ScratchDir;
using orchard::testing::WriteText;

// A tiny model and an expansion of it in width and depth, over several shards.
class Expansion : public ::testing::Test {
 protected:
  Expansion() : source_(scratch_ / "small") {
    WriteTinyModel(source_, TinyGpt2(), io::DType::kBF16);
    WriteText(source_ / "tokenizer.json", "{}");
    options_.shard_size = 1500;
  }

  ExpandReport Run(const std::string& name, const ExpandOptions& options) {
    const SourceModel source = OpenModel(source_, {});
    return ExpandModel(source, MakePlan(source, target_, method_), method_, scratch_ / name,
                       options);
  }

  // Every file of a model but the report, whose lines hold times.
  std::map<std::string, std::string> Files(const std::string& name) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(scratch_ / name)) {
      const std::string file = entry.path().filename().string();
      if (file != "report.jsonl") files[file] = ReadText(entry.path());
    }
    return files;
  }

  ScratchDir scratch_;
  fs::path source_;
  TargetOptions target_{.hidden = 14, .ffn = 23, .layers = 3};
  MethodOptions method_;
  ExpandOptions options_;
};

TEST_F(Expansion, AnyNumberOfThreadsGivesTheSameBytes) {
  Run("one", options_);
  ASSERT_GT(Files("one").size(), 5u);  // several shards
  options_.threads = 5;
  Run("five", options_);
  EXPECT_EQ(Files("five"), Files("one"));
}

TEST_F(Expansion, AnyBlockSizeGivesTheSameBytes) {
  Run("default", options_);
  for (int64_t bytes : {1, 100, 1000}) {
    options_.block_bytes = bytes;
    Run(std::to_string(bytes), options_);
    EXPECT_EQ(Files(std::to_string(bytes)), Files("default"));
  }
}

TEST_F(Expansion, PartsAndFinalizeGiveTheSameBytes) {
  Run("whole", options_);
  options_.parts = 3;
  for (int64_t part : {3, 1, 2}) {
    options_.part = part;
    EXPECT_FALSE(Run("parts", options_).finalized);
  }
  EXPECT_FALSE(fs::exists(scratch_ / "parts"));
  Finalize(scratch_ / "parts", false);
  EXPECT_EQ(Files("parts"), Files("whole"));
  EXPECT_FALSE(fs::exists(scratch_ / "parts.partial"));
}

TEST_F(Expansion, PartsWithoutShardsDoNothing) {
  options_.shard_size = 1 << 30;
  options_.parts = 4;
  int64_t written = 0;
  for (options_.part = 1; options_.part <= 4; ++options_.part)
    written += Run("big", options_).shards_written;
  EXPECT_EQ(written, 1);
}

TEST_F(Expansion, FinalizeNamesWhatIsMissing) {
  options_.parts = 2;
  Run("big", options_);
  try {
    Finalize(scratch_ / "big", false);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("shards are missing: model-"));
  }
}

TEST_F(Expansion, AnInterruptedOneResumesToTheSameBytes) {
  Run("whole", options_);
  std::atomic<int64_t> bytes = 0;
  ExpandOptions interrupted = options_;
  interrupted.on_progress = [&](int64_t written) {
    if ((bytes += written) > 2 * options_.shard_size) RequestStop(SIGTERM);
  };
  EXPECT_THROW(Run("big", interrupted), InterruptedError);
  ClearStopRequest();
  EXPECT_FALSE(fs::exists(scratch_ / "big"));
  EXPECT_THROW(Run("big", options_), UsageError);  // neither --resume nor --force
  options_.resume = true;
  const ExpandReport report = Run("big", options_);
  EXPECT_GE(report.shards_kept, 1);
  EXPECT_GE(report.shards_written, 1);
  EXPECT_EQ(Files("big"), Files("whole"));
}

TEST_F(Expansion, ResumeRefusesAnotherJob) {
  options_.parts = 2;
  Run("big", options_);
  options_.seed = 7;
  options_.part = 2;
  EXPECT_THROW(Run("big", options_), UsageError);
}

TEST_F(Expansion, RefusesToOverwriteUnlessForced) {
  Run("big", options_);
  EXPECT_THROW(Run("big", options_), UsageError);
  options_.force = true;
  options_.seed = 5;
  const auto before = Files("big");
  Run("big", options_);
  EXPECT_NE(Files("big"), before);
}

TEST_F(Expansion, AnErrorLeavesNothingBehind) {
  WriteTinyModel(source_, TinyGpt2(), io::DType::kF32, "ln_f.bias",
                 {{"ln_f.bias", {8}, std::vector<double>(8, NAN)}});
  EXPECT_THROW(Run("big", options_), DataError);
  EXPECT_FALSE(fs::exists(scratch_ / "big"));
  EXPECT_FALSE(fs::exists(scratch_ / "big.partial"));
}

TEST_F(Expansion, NaNPassesWhereItIsAllowed) {
  WriteTinyModel(source_, TinyGpt2(), io::DType::kF32, "ln_f.bias",
                 {{"ln_f.bias", {8}, std::vector<double>(8, NAN)}});
  method_.allow_nonfinite = true;
  Run("big", options_);
  const io::Checkpoint big = io::Checkpoint::Open(scratch_ / "big");
  EXPECT_TRUE(std::isnan(ReadValues(big, "ln_f.bias")[0]));
}

TEST_F(Expansion, IsAWholeModelDirectory) {
  Run("big", options_);
  const SourceModel big = OpenModel(scratch_ / "big", {});
  EXPECT_EQ(big.sizes.hidden, 14);
  EXPECT_EQ(big.sizes.heads, 7);
  EXPECT_EQ(big.sizes.layers, 3);
  EXPECT_NO_THROW(MakePlan(big, {}, {}));  // every tensor is there, in its shape
  EXPECT_EQ(ReadText(scratch_ / "big" / "tokenizer.json"), "{}");
}

TEST_F(Expansion, ReportsEveryTensorAndHashesEverySource) {
  Run("big", options_);
  const SourceModel source = OpenModel(source_, {});
  const Json account = Json::parse(ReadText(scratch_ / "big" / "lemon_expand.json"));
  EXPECT_EQ(account["tensors"].size(), MakePlan(source, target_, method_).tensors.size());
  EXPECT_EQ(account["source_sha256"].size(), source.weights.tensors().size());
  EXPECT_EQ(account["tensors"]["h.2.mlp.c_proj.weight"]["class"], "A");
}

TEST_F(Expansion, NeedsMemoryForOneRow) {
  options_.max_ram = 1;
  try {
    Run("big", options_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kResource);
  }
  EXPECT_FALSE(fs::exists(scratch_ / "big.partial"));
}

}  // namespace
}  // namespace orchard::expand
