# Imported targets for everything outside the repository. All of them are named Orchard::<what>; `scripts/setup` installs them.
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(MPI COMPONENTS C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(YAML_CPP REQUIRED IMPORTED_TARGET yaml-cpp)

function(orchard_interface name)
  cmake_parse_arguments(A "" "" "INCLUDES;LIBRARIES;DEFINITIONS" ${ARGN})
  add_library(orchard_${name} INTERFACE)
  add_library(Orchard::${name} ALIAS orchard_${name})
  target_include_directories(orchard_${name} SYSTEM INTERFACE ${A_INCLUDES})
  target_link_libraries(orchard_${name} INTERFACE ${A_LIBRARIES})
  target_compile_definitions(orchard_${name} INTERFACE ${A_DEFINITIONS})
endfunction()

orchard_interface(hdf5 INCLUDES ${HDF5_INCLUDE_DIRS} LIBRARIES ${HDF5_C_LIBRARIES})
# Debian packs OpenCV's CMake files only with all of OpenCV, so the three parts we use are found by hand.
find_path(ORCHARD_OPENCV_INCLUDE opencv2/core/version.hpp PATH_SUFFIXES opencv4 REQUIRED)
foreach(part core imgproc imgcodecs)
  find_library(ORCHARD_OPENCV_${part} opencv_${part} REQUIRED)
endforeach()
file(STRINGS ${ORCHARD_OPENCV_INCLUDE}/opencv2/core/version.hpp orchard_opencv_version
     REGEX "#define CV_VERSION_(MAJOR|MINOR|REVISION) ")
string(REGEX REPLACE "[^0-9;]" "" orchard_opencv_version "${orchard_opencv_version}")
string(REPLACE ";" "." OpenCV_VERSION "${orchard_opencv_version}")
orchard_interface(opencv INCLUDES ${ORCHARD_OPENCV_INCLUDE}
                  LIBRARIES ${ORCHARD_OPENCV_core} ${ORCHARD_OPENCV_imgproc} ${ORCHARD_OPENCV_imgcodecs})
orchard_interface(utf8proc LIBRARIES PkgConfig::UTF8PROC)
orchard_interface(yaml LIBRARIES PkgConfig::YAML_CPP)
# By flag, not by path: LibTorch brings a libgomp.so.1 of its own, the loader takes one for both, and so there is one pool of threads.
orchard_interface(openmp)
target_compile_options(orchard_openmp INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
target_link_options(orchard_openmp INTERFACE -fopenmp)
orchard_interface(crypto LIBRARIES OpenSSL::Crypto)
orchard_interface(zlib LIBRARIES ZLIB::ZLIB)
if(MPI_C_FOUND)
  orchard_interface(mpi LIBRARIES MPI::MPI_C DEFINITIONS ORCHARD_HAVE_MPI=1)
endif()

# LibTorch: ORCHARD_LIBTORCH=/path/to/torch (holds include/ and lib/), else what scripts/setup put into the cache.
set(ORCHARD_LIBTORCH "$ENV{ORCHARD_LIBTORCH}" CACHE PATH "LibTorch, version 2.11: a folder with include/ and lib/")
if(NOT ORCHARD_LIBTORCH)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/setup --where libtorch OUTPUT_VARIABLE orchard_libtorch
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE orchard_libtorch_status)
  if(orchard_libtorch_status EQUAL 0)
    set(ORCHARD_LIBTORCH "${orchard_libtorch}" CACHE PATH "LibTorch, version 2.11" FORCE)
  endif()
endif()
if(NOT EXISTS "${ORCHARD_LIBTORCH}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch is missing: run scripts/setup, or set ORCHARD_LIBTORCH to a folder with include/ and lib/")
endif()
file(STRINGS ${ORCHARD_LIBTORCH}/include/torch/headeronly/version.h orchard_torch_version
     REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" orchard_torch_version "${orchard_torch_version}")
string(REPLACE ";" "." ORCHARD_TORCH_VERSION "${orchard_torch_version}")
# libtorch_cpu alone: a GPU's half (libtorch_cuda and its 3 GB of libraries) is loaded at run time by `--device cuda`.
orchard_interface(libtorch INCLUDES ${ORCHARD_LIBTORCH}/include ${ORCHARD_LIBTORCH}/include/torch/csrc/api/include
                  LIBRARIES ${ORCHARD_LIBTORCH}/lib/libtorch_cpu.so ${ORCHARD_LIBTORCH}/lib/libc10.so)

# HiGHS: ORCHARD_HIGHS=/path (holds include/ and lib/), else what scripts/setup put into the cache. Only its C interface links, since the
# wheel is built with the old std::string; its own CMake package points at files that are not there.
set(ORCHARD_HIGHS "$ENV{ORCHARD_HIGHS}" CACHE PATH "HiGHS, version 1.15: a folder with include/ and lib/")
if(NOT ORCHARD_HIGHS)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/setup --where highs OUTPUT_VARIABLE orchard_highs
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE orchard_highs_status)
  if(orchard_highs_status EQUAL 0)
    set(ORCHARD_HIGHS "${orchard_highs}" CACHE PATH "HiGHS, version 1.15" FORCE)
  endif()
endif()
if(NOT EXISTS "${ORCHARD_HIGHS}/lib/libhighs.so")
  message(FATAL_ERROR "HiGHS is missing: run scripts/setup, or set ORCHARD_HIGHS to a folder with include/ and lib/")
endif()
orchard_interface(highs INCLUDES ${ORCHARD_HIGHS}/include/highs LIBRARIES ${ORCHARD_HIGHS}/lib/libhighs.so)

# fmt, toml++ and CLI11 are header-only here. The fmt that LibTorch carries serves every target, so that only one version exists.
orchard_interface(fmt INCLUDES ${ORCHARD_LIBTORCH}/include DEFINITIONS FMT_HEADER_ONLY=1)
find_package(nlohmann_json REQUIRED)
orchard_interface(json LIBRARIES nlohmann_json::nlohmann_json)
find_path(ORCHARD_CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
find_path(ORCHARD_TOML_INCLUDE toml++/toml.h)
if(NOT ORCHARD_TOML_INCLUDE)  # Ubuntu 22.04 has no package of it; scripts/setup gets the headers from PyPI
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/setup --where tomlplusplus OUTPUT_VARIABLE orchard_toml
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_path(ORCHARD_TOML_INCLUDE toml++/toml.h HINTS "${orchard_toml}" REQUIRED)
endif()
orchard_interface(cli11 INCLUDES ${ORCHARD_CLI11_INCLUDE})
orchard_interface(toml INCLUDES ${ORCHARD_TOML_INCLUDE})

# Chart.js is inlined into report pages.
find_file(ORCHARD_CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist NO_DEFAULT_PATH)
if(NOT ORCHARD_CHART_JS)
  message(FATAL_ERROR "Chart.js is missing: run scripts/setup (Debian package libjs-chart.js)")
endif()

include(OrchardCuda)
