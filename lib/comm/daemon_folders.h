// A temporary folder for each of several daemons of one job on one machine.
//
// Open MPI's daemons clear the session directory of their job when they start. Daemons of one
// machine share it, so one that starts late removes what another has just made there; that one dies
// without a word and the job never starts (seen in 4 of 75 starts of 6 daemons). A job that ends
// can take the directory above from one that starts likewise. With a folder each there is nothing
// to share.
#pragma once

#include <optional>
#include <string>

#include "base/scratch_directory.h"

namespace orchard::comm {

class DaemonFolders {
 public:
  // In a file system in memory that this process alone holds: it is gone when the process is,
  // however that ends. Where the kernel has none to give (before 5.2, or without root), in a
  // directory under TMPDIR or /tmp, which the destructor removes. Throws ResourceError.
  explicit DaemonFolders(int count);
  ~DaemonFolders();
  DaemonFolders(const DaemonFolders&) = delete;
  DaemonFolders& operator=(const DaemonFolders&) = delete;

  // An existing folder; other processes reach it by this name, too.
  std::string path(int daemon) const { return base_ + "/" + std::to_string(daemon); }

 private:
  int descriptor_ = -1;                        // of the file system in memory
  std::optional<ScratchDirectory> directory_;  // where there is none
  std::string base_;
};

}  // namespace orchard::comm
