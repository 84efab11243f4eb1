#include <algorithm>
#include <array>
#include <cctype>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/medical/gzip_writer.h"
#include "io/medical/nifti.h"
#include "io/medical/orientation.h"

namespace orchard::io {
namespace {

NiftiHeader HeaderOf(const Volume& volume, const NiftiWriteOptions& options,
                     const std::string& where) {
  NiftiHeader h;
  const auto& size = volume.grid.size;
  h.version = *std::max_element(size.begin(), size.end()) > 32767 ? 2 : 1;
  h.vox_offset = h.version == 1 ? 352 : 544;
  for (size_t i = 0; i < 3; ++i) h.dim[i + 1] = size[i];
  h.datatype = NiftiDatatype(volume.dtype);
  h.bitpix = static_cast<int16_t>(BitSize(volume.dtype));
  h.scl_slope = volume.slope;
  h.scl_inter = volume.intercept;
  h.intent_code = options.intent_code;
  h.descrip = options.description;
  if (!options.like) {
    SetNiftiPlace(h, volume.grid.affine, options.form_code);
    return h;
  }
  const Grid like{{options.like->dim[1], options.like->dim[2], options.like->dim[3]},
                  PlaceNifti(*options.like, where).affine};
  const auto map = MatchGrids(volume.grid, like);
  if (!map || !map->identity())
    throw ImpossibleError("the image lies elsewhere than the one whose header it should get",
                          where);
  h.qform_code = options.like->qform_code;
  h.sform_code = options.like->sform_code;
  h.quatern = options.like->quatern;
  h.qoffset = options.like->qoffset;
  h.srow = options.like->srow;
  h.xyzt_units = options.like->xyzt_units;
  for (size_t i = 0; i < 4; ++i) h.pixdim[i] = options.like->pixdim[i];
  return h;
}

}  // namespace

void WriteNifti(const std::filesystem::path& path, const Volume& volume,
                const NiftiWriteOptions& options) {
  std::string name = path.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::vector<std::byte> header =
      SerializeNiftiHeader(HeaderOf(volume, options, path.string()));
  if (name.ends_with(".nii.gz")) {
    const std::array<std::span<const std::byte>, 2> pieces = {header, volume.data};
    WriteGzip(path, pieces, 1, options.threads);
  } else if (name.ends_with(".nii")) {
    AtomicFile file(path, header.size() + volume.data.size());
    file.Write(header);
    file.Write(volume.data);
    file.Commit();
  } else {
    throw UsageError("a NIfTI file is named .nii or .nii.gz", path.string());
  }
}

}  // namespace orchard::io
