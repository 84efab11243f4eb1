#include "run/checkpoint_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "unit/scratch_dir.h"

namespace orchard::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ReadText;
using testing::ScratchDir;
using testing::WriteText;

// The content of a file of the checkpoint of `step`: known from the step alone, so that a reader
// can tell whether it is whole.
std::string Content(int64_t step, size_t bytes) {
  std::string content;
  for (uint64_t i = 0; content.size() < bytes; ++i) {
    const Philox4 block = PhiloxAt(PhiloxKey(static_cast<uint64_t>(step), 7), i);
    content.append(reinterpret_cast<const char*>(block.word), sizeof block.word);
  }
  content.resize(bytes);
  return content;
}

CheckpointWriter Writer(int64_t step) {
  return [step](const fs::path& directory) {
    WriteText(directory / "model.safetensors", Content(step, 40000));
    fs::create_directory(directory / "optimizer");
    WriteText(directory / "optimizer" / "moments.safetensors", Content(step + 1000000, 9000));
    return json{{"cursor", step * 10}};
  };
}

std::vector<std::string> Names(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointStore, GivesBackWhatWasWritten) {
  ScratchDir scratch;
  CheckpointStore store(scratch / "checkpoints");
  store.Write(123, Writer(123));
  const auto newest = store.Newest();
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->step, 123);
  EXPECT_EQ(newest->directory.filename(), "step-0000123");
  EXPECT_EQ(CheckpointStore::ReadState(*newest), (json{{"cursor", 1230}}));
  EXPECT_EQ(ReadText(newest->directory / "model.safetensors"), Content(123, 40000));
}

TEST(CheckpointStore, HasNothingBeforeTheFirstWrite) {
  ScratchDir scratch;
  EXPECT_FALSE(CheckpointStore(scratch / "checkpoints").Newest());
}

TEST(CheckpointStore, KeepsTheNewest) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path(), 3);
  for (int64_t step : {10, 20, 30, 40, 12345678}) store.Write(step, Writer(step));
  EXPECT_EQ(Names(scratch.path()),
            (std::vector<std::string>{"step-0000030", "step-0000040", "step-12345678"}));
  EXPECT_EQ(store.Newest()->step, 12345678);
}

TEST(CheckpointStore, ReplacesTheSameStep) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path());
  store.Write(5, Writer(5));
  store.Write(5, [](const fs::path& directory) {
    WriteText(directory / "other", "x");
    return json("second");
  });
  EXPECT_EQ(Names(scratch.path()), (std::vector<std::string>{"step-0000005"}));
  EXPECT_EQ(CheckpointStore::ReadState(*store.Newest()), json("second"));
  EXPECT_FALSE(fs::exists(store.Newest()->directory / "model.safetensors"));
}

TEST(CheckpointStore, DropsTheFutureOfARunThatWentBack) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path(), 1);
  store.Write(200, Writer(200));
  store.Write(150, Writer(150));
  EXPECT_EQ(Names(scratch.path()), (std::vector<std::string>{"step-0000150"}));
}

TEST(CheckpointStore, AFailingWriterLeavesNothing) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path());
  store.Write(1, Writer(1));
  const auto fail = [](const fs::path& directory) -> json {
    WriteText(directory / "half", "x");
    throw ResourceError("disk full");
  };
  EXPECT_THROW(store.Write(2, fail), ResourceError);
  EXPECT_EQ(Names(scratch.path()), (std::vector<std::string>{"step-0000001"}));
  EXPECT_EQ(store.Newest()->step, 1);
}

TEST(CheckpointStore, PassesOverADamagedOne) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path());
  store.Write(1, Writer(1));
  const CheckpointInfo second = store.Write(2, Writer(2));
  std::string bytes = ReadText(second.directory / "model.safetensors");
  bytes[20000] ^= 1;
  WriteText(second.directory / "model.safetensors", bytes);
  std::vector<std::string> damage;
  EXPECT_EQ(store.Newest(&damage)->step, 1);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_NE(damage[0].find("step-0000002/model.safetensors"), std::string::npos);
}

TEST(CheckpointStore, SaysSoWhenAllAreDamaged) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path());
  const CheckpointInfo only = store.Write(1, Writer(1));
  fs::remove(only.directory / "optimizer" / "moments.safetensors");
  EXPECT_THROW(store.Newest(), DataError);
}

TEST(CheckpointStore, RefusesAStateThatIsNotOne) {
  ScratchDir scratch;
  CheckpointStore store(scratch.path());
  const CheckpointInfo only = store.Write(1, Writer(1));
  const std::string begin = R"({"format":"orchard-checkpoint","version":1,"step":)";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string(R"({"format": 3})"),
        std::string(R"({"format":"orchard-checkpoint","version":9})"),
        begin + R"(2,"files":{},"state":{}})", begin + R"(1,"files":{"a":1},"state":{}})"}) {
    WriteText(only.directory / "state.json", text);
    EXPECT_THROW(CheckpointStore::Verify(only), DataError) << text;
  }
}

// The promise: a process killed at any moment leaves a whole checkpoint, and never an older one
// than was there before.
TEST(CheckpointStore, SurvivesKillAtAnyMoment) {
  constexpr int kKills = 60;
  ScratchDir scratch;
  CheckpointStore store(scratch.path(), 2);
  // Kills come within a few writes' time, however long a write takes on this disk, and later while
  // none gets through.
  const auto start = std::chrono::steady_clock::now();
  store.Write(1, Writer(1));
  const std::chrono::duration<double> write = std::chrono::steady_clock::now() - start;
  double patience = 1;
  int64_t last = 1;
  int leftovers = 0, progress = 0;
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Half of the children write the step anew that is there, the other way a checkpoint could
      // get lost.
      for (int64_t step = std::max<int64_t>(1, last + kill_number % 2);; ++step) {
        store.Write(step, Writer(step));
      }
    }
    const Philox4 random = PhiloxAt(PhiloxKey(1, 2), static_cast<uint64_t>(kill_number));
    std::this_thread::sleep_for(write * patience * (0.2 + 2 * UniformFloat(random.word[0])));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself, status " << status;

    for (const std::string& name : Names(scratch.path())) leftovers += name.ends_with(".partial");
    std::vector<std::string> damage;
    const auto newest = store.Newest(&damage);
    EXPECT_TRUE(damage.empty()) << damage[0];
    ASSERT_TRUE(newest.has_value());
    ASSERT_GE(newest->step, last);
    ASSERT_EQ(ReadText(newest->directory / "model.safetensors"), Content(newest->step, 40000));
    ASSERT_EQ(CheckpointStore::ReadState(*newest), (json{{"cursor", newest->step * 10}}));
    progress += newest->step > last;
    patience = newest->step > last ? 1 : 1.3 * patience;
    last = newest->step;
  }
  // The test has to have hit writes in progress, and writes have to have got through.
  EXPECT_GT(leftovers, kKills / 4);
  EXPECT_GT(progress, 0);
  store.Write(last + 1, Writer(last + 1));
  for (const std::string& name : Names(scratch.path()))
    EXPECT_EQ(name.find('.'), name.npos) << name;
}

}  // namespace
}  // namespace orchard::run
