// A label map as `evaluate` and `predict --template` read it: the first byte says under which name.
// Whatever is read has a grid of the right size, in space.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/expect.h"
#include "segment/label_map.h"

namespace {

// A folder of this process, gone at its end.
const std::filesystem::path& Folder() {
  struct Made {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("label_map_fuzz." + std::to_string(getpid()));
    Made() { std::filesystem::create_directories(path); }
    ~Made() {
      std::error_code error;
      std::filesystem::remove_all(path, error);
    }
  };
  static const Made made;
  return made.path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace orchard;
  if (size == 0) return 0;
  constexpr const char* kEndings[] = {".nii", ".nii.gz", ".dcm"};
  const std::filesystem::path file = Folder() / (std::string("labels") + kEndings[data[0] % 3]);
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(data + 1), static_cast<std::streamsize>(size - 1));
  fuzz::ExpectInputErrors([&] {
    const segment::LabelMap map = segment::ReadLabelMap(file);
    fuzz::Expect(static_cast<int64_t>(map.labels.size()) == map.grid.Voxels(),
                 "a label for every voxel");
    fuzz::Expect(map.grid.affine.Finite(), "the place is finite");
  });
  return 0;
}
