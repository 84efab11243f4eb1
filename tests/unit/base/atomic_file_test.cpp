#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/error.h"
#include "unit/scratch_dir.h"

namespace orchard {
namespace {

namespace fs = std::filesystem;
using testing::ReadText;
using testing::ScratchDir;
using testing::WriteText;

size_t FilesIn(const fs::path& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

RC_GTEST_PROP(AtomicFile, HoldsAllPiecesInOrder, (const std::vector<std::string>& pieces)) {
  static ScratchDir scratch;
  std::string whole;
  AtomicFile file(scratch / "file");
  for (const std::string& piece : pieces) {
    file.Write(piece);
    whole += piece;
  }
  file.Commit(/*sync=*/false);
  RC_ASSERT(ReadText(scratch / "file") == whole);
}

TEST(AtomicFile, TheOldContentStaysUntilCommit) {
  ScratchDir scratch;
  WriteFileAtomically(scratch / "file", "old");
  AtomicFile file(scratch / "file");
  file.Write("new");
  EXPECT_EQ(ReadText(scratch / "file"), "old");
  file.Commit();
  EXPECT_EQ(ReadText(scratch / "file"), "new");
  EXPECT_EQ(FilesIn(scratch.path()), 1u);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  ScratchDir scratch;
  {
    AtomicFile file(scratch / "file");
    file.Write("half");
    AtomicFile moved = std::move(file);
    moved.Write(" more");
  }
  EXPECT_EQ(FilesIn(scratch.path()), 0u);
}

TEST(AtomicFile, SaysBeforehandThatTheDiskIsTooSmall) {
  ScratchDir scratch;
  try {
    AtomicFile file(scratch / "file", uint64_t{1} << 60);
    FAIL() << "accepted an exabyte";
  } catch (const ResourceError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("disk full: 1152921504606846976 bytes needed"), std::string::npos) << text;
    EXPECT_NE(text.find(" free"), std::string::npos) << text;
    EXPECT_EQ(error.code(), ExitCode::kResource);
  }
  EXPECT_EQ(FilesIn(scratch.path()), 0u);
}

// A file system of one megabyte.
TEST(AtomicFile, AFullDiskLeavesTheOldFileAndNoPartial) {
  ScratchDir scratch;
  fs::create_directory(scratch / "small");
  if (::mount("tmpfs", (scratch / "small").c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  const fs::path path = scratch / "small/file";
  WriteFileAtomically(path, "old");
  std::string message;
  try {
    AtomicFile file(path);
    const std::string block(100000, 'x');
    for (int i = 0; i < 20; ++i) file.Write(block);
  } catch (const ResourceError& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("disk full: 1"), std::string::npos) << message;
  EXPECT_NE(message.find("small/file"), std::string::npos) << message;
  EXPECT_EQ(ReadText(path), "old");
  EXPECT_EQ(FilesIn(scratch / "small"), 1u);
  EXPECT_GT(FreeBytes(path), 900000u);
  ::umount((scratch / "small").c_str());
}

TEST(AtomicFile, NamesAPlaceItCannotWriteTo) {
  ScratchDir scratch;
  EXPECT_THROW(AtomicFile(scratch / "absent/file"), ResourceError);
  fs::create_directory(scratch / "directory");
  AtomicFile file(scratch / "directory");
  EXPECT_THROW(file.Commit(), ResourceError);
  EXPECT_EQ(FilesIn(scratch.path()), 1u);
}

TEST(FreeBytes, AsksTheNearestDirectoryThatExists) {
  ScratchDir scratch;
  EXPECT_GT(FreeBytes(scratch / "not/yet/there"), 0u);
}

}  // namespace
}  // namespace orchard
