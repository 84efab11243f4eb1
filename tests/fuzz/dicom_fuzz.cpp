// A DICOM file: its header, its pixels and, if it is one, its segmentation.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "fuzz/expect.h"
#include "io/medical/dicom_series.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/segmentation.h"

namespace {

// A file in memory, for readers that want a name.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    orchard::fuzz::Expect(
        descriptor_ >= 0 && write(descriptor_, data, size) == static_cast<ssize_t>(size),
        "memory for the input");
  }
  ~MemoryFile() { close(descriptor_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace orchard;
  const MemoryFile file(data, size);
  fuzz::ExpectInputErrors([&] {
    const io::DicomScan scan = io::ScanDicom(file.path(), 1);
    for (const io::DicomSeries& series : scan.series) {
      fuzz::Expect(!series.frames.empty(), "a series has images");
      if (!series.problem.empty()) continue;
      fuzz::Expect(!series.grid.affine.Singular(), "the grid is one");
      if (series.grid.Voxels() > 1 << 22) continue;
      const io::DicomVolume read = io::ReadDicomVolume(series, {.allow_gaps = true});
      fuzz::Expect(read.volume.grid.Voxels() * io::ByteSize(read.volume.dtype) ==
                       static_cast<int64_t>(read.volume.data.size()),
                   "the voxels are all there");
    }
  });
  fuzz::ExpectInputErrors([&] {
    if (io::IsSegmentation(file.path())) io::ReadSegmentation(file.path());
  });
  return 0;
}
