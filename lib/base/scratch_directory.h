// A directory for what a command needs while it runs, removed at its end.
#pragma once

#include <filesystem>
#include <string>

namespace orchard {

class ScratchDirectory {
 public:
  // Inside `parent`, or the system's temporary directory where that is empty. Throws ResourceError.
  explicit ScratchDirectory(const std::filesystem::path& parent = {});
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace orchard
