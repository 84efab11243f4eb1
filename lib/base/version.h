// What this build is: for --version, summaries and provenance.
#pragma once

#include <string>

namespace orchard {

struct Versions {
  std::string orchard;   // "0.1.0"
  std::string revision;  // of git, "-dirty" with local changes
  std::string libtorch;
  std::string cuda;  // of nvcc; "none": no kernels in this build
  std::string mpi;   // of the MPI standard; "none"
  std::string hdf5;
  std::string opencv;
  bool HasCuda() const { return cuda != "none"; }
};

const Versions& BuildVersions();

}  // namespace orchard
