// A NIfTI header: whatever the bytes are, sizes fit and the place is one, or the input is blamed.
#include <cmath>
#include <cstdint>
#include <span>

#include "fuzz/expect.h"
#include "io/medical/nifti_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace orchard;
  fuzz::ExpectInputErrors([&] {
    const io::NiftiHeader header =
        io::ParseNiftiHeader(std::as_bytes(std::span(data, size)), "file");
    fuzz::Expect(header.dim[0] >= 1 && header.dim[0] <= 7, "one to seven axes");
    for (size_t i = 1; i < 8; ++i) fuzz::Expect(header.dim[i] >= 1, "axes have voxels");
    fuzz::Expect(header.vox_offset >= 0, "voxels begin in the file");
    const io::NiftiPlace place = io::PlaceNifti(header, "file");
    fuzz::Expect(place.affine.Finite(), "the place is finite");
    fuzz::Expect(io::OrientationCode(place.affine).size() == 3, "axes have names");
    io::SerializeNiftiHeader(header);
  });
  return 0;
}
