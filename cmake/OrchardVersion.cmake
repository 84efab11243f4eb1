# Writes generated/orchard/version.h: what --version prints. The git revision is refreshed at every build, the file only when it changes.
set(ORCHARD_GENERATED ${CMAKE_BINARY_DIR}/generated)
add_custom_target(orchard-version ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${ORCHARD_GENERATED}/orchard/version.h
          -DVERSION=${PROJECT_VERSION} -DTORCH=${ORCHARD_TORCH_VERSION} -DCUDA=${CMAKE_CUDA_COMPILER_VERSION}
          -DMPI=${MPI_C_VERSION} "-DMPI_NAME=${MPI_C_LIBRARY_VERSION_STRING}" -DHDF5=${HDF5_VERSION} -DOPENCV=${OpenCV_VERSION}
          -P ${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${ORCHARD_GENERATED}/orchard/version.h
  COMMENT "Reading the git revision")
