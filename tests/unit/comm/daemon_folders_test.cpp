#include "comm/daemon_folders.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace orchard::comm {
namespace {

namespace fs = std::filesystem;

TEST(DaemonFolders, AreApartAndReachedByOtherProcesses) {
  const DaemonFolders folders(3);
  EXPECT_NE(folders.path(0), folders.path(2));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(fs::is_directory(folders.path(i)));
  const std::string command = "mkdir -p " + folders.path(1) + "/a/b && echo x > " +
                              folders.path(1) + "/a/b/c && test ! -e " + folders.path(0) + "/a";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(fs::exists(folders.path(1) + "/a/b/c"));
}

TEST(DaemonFolders, LeaveNothing) {
  std::string path;
  {
    const DaemonFolders folders(1);
    path = folders.path(0);
    std::ofstream(path + "/file") << "x";
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(DaemonFolders, OfAProcessThatIsKilledAreGoneWhereRootHasThemInMemory) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    const DaemonFolders folders(1);
    const std::string path = folders.path(0);
    if (write(channel[1], path.data(), path.size()) < 0) _exit(1);
    pause();
    _exit(0);
  }
  char text[256] = {};
  ASSERT_GT(read(channel[0], text, sizeof text - 1), 0);
  const std::string path = text;
  if (!path.starts_with("/proc/")) {
    kill(child, SIGTERM);
    waitpid(child, nullptr, 0);
    fs::remove_all(fs::path(path).parent_path());
    GTEST_SKIP() << "the kernel has no file systems that are mounted nowhere";
  }
  EXPECT_TRUE(fs::is_directory(path));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace orchard::comm
