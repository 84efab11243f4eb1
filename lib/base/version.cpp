#include "base/version.h"

#include "orchard/version.h"

namespace orchard {

const Versions& BuildVersions() {
  static const Versions versions = {.orchard = ORCHARD_VERSION,
                                    .revision = ORCHARD_REVISION,
                                    .libtorch = ORCHARD_TORCH_VERSION,
                                    .cuda = ORCHARD_CUDA_VERSION,
                                    .mpi = ORCHARD_MPI_VERSION,
                                    .hdf5 = ORCHARD_HDF5_VERSION,
                                    .opencv = ORCHARD_OPENCV_VERSION};
  return versions;
}

}  // namespace orchard
