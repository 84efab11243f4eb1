#include "comm/daemon_folders.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace orchard::comm {
namespace {

namespace fs = std::filesystem;

// A tmpfs that is mounted nowhere; -1 where that is not to be had.
int DetachedFileSystem() {
#if defined(SYS_fsopen) && defined(SYS_fsconfig) && defined(SYS_fsmount)
  constexpr unsigned kCloseOnExec = 1, kCreate = 6;  // FSOPEN_CLOEXEC, FSCONFIG_CMD_CREATE
  const int context = static_cast<int>(syscall(SYS_fsopen, "tmpfs", kCloseOnExec));
  if (context < 0) return -1;
  int mount = -1;
  if (syscall(SYS_fsconfig, context, kCreate, nullptr, nullptr, 0) == 0) {
    mount = static_cast<int>(syscall(SYS_fsmount, context, kCloseOnExec, 0));
  }
  close(context);
  return mount;
#else
  return -1;
#endif
}

}  // namespace

DaemonFolders::DaemonFolders(int count) : descriptor_(DetachedFileSystem()) {
  if (descriptor_ >= 0) {
    base_ = fmt::format("/proc/{}/fd/{}", getpid(), descriptor_);
  } else {
    directory_.emplace();
    base_ = directory_->path().string();
  }
  for (int i = 0; i < count; ++i) {
    std::error_code error;
    fs::create_directory(path(i), error);
    if (error) throw ResourceError("no temporary directory: " + error.message(), path(i));
  }
}

DaemonFolders::~DaemonFolders() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace orchard::comm
