#include "base/scratch_directory.h"

#include <stdlib.h>

#include <system_error>

#include "base/error.h"

namespace orchard {

namespace fs = std::filesystem;

ScratchDirectory::ScratchDirectory(const fs::path& parent) {
  std::error_code error;
  const fs::path base = parent.empty() ? fs::temp_directory_path(error) : parent;
  if (!parent.empty()) fs::create_directories(parent, error);
  std::string name = (base / "orchard-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw ResourceError("cannot make a scratch directory", base.string(),
                        "it must be a place that can be written");
  }
  path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code error;
  fs::remove_all(path_, error);
}

}  // namespace orchard
