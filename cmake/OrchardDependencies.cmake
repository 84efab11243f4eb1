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

# orchard_unpacked(NAME WHAT FILE): sets the cache variable ORCHARD_<NAME>, a folder with include/ and lib/, from the environment's variable of
# that name, else to what scripts/setup put into its cache. FILE must lie in it.
function(orchard_unpacked name what file)
  set(variable ORCHARD_${name})
  set(${variable} "$ENV{${variable}}" CACHE PATH "${what}: a folder with include/ and lib/")
  if(NOT ${variable})
    string(TOLOWER ${name} key)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/setup --where ${key} OUTPUT_VARIABLE folder
                    OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
    if(status EQUAL 0)
      set(${variable} "${folder}" CACHE PATH "${what}" FORCE)
    endif()
  endif()
  if(NOT EXISTS "${${variable}}/${file}")
    message(FATAL_ERROR "${what} is missing: run scripts/setup, or set ${variable} to a folder with include/ and lib/")
  endif()
endfunction()

orchard_unpacked(LIBTORCH "LibTorch, version 2.11" lib/libtorch_cpu.so)
file(STRINGS ${ORCHARD_LIBTORCH}/include/torch/headeronly/version.h orchard_torch_version
     REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9;]" "" orchard_torch_version "${orchard_torch_version}")
string(REPLACE ";" "." ORCHARD_TORCH_VERSION "${orchard_torch_version}")
# libtorch_cpu alone: a GPU's half (libtorch_cuda and its 3 GB of libraries) is loaded at run time by `--device cuda`.
orchard_interface(libtorch INCLUDES ${ORCHARD_LIBTORCH}/include ${ORCHARD_LIBTORCH}/include/torch/csrc/api/include
                  LIBRARIES ${ORCHARD_LIBTORCH}/lib/libtorch_cpu.so ${ORCHARD_LIBTORCH}/lib/libc10.so)

# Only HiGHS's C interface links, since the wheel is built with the old std::string; its own CMake package points at files that are
# not there.
orchard_unpacked(HIGHS "HiGHS, version 1.15" lib/libhighs.so)
orchard_interface(highs INCLUDES ${ORCHARD_HIGHS}/include/highs LIBRARIES ${ORCHARD_HIGHS}/lib/libhighs.so)

# fmt, toml++ and CLI11 are header-only here. The fmt that LibTorch carries serves every target, so that only one version exists.
orchard_interface(fmt INCLUDES ${ORCHARD_LIBTORCH}/include DEFINITIONS FMT_HEADER_ONLY=1)
find_package(nlohmann_json REQUIRED)
find_path(ORCHARD_PROTOZERO_INCLUDE protozero/pbf_reader.hpp REQUIRED)
orchard_interface(protozero INCLUDES ${ORCHARD_PROTOZERO_INCLUDE})
find_library(ORCHARD_METIS metis REQUIRED)
orchard_interface(metis LIBRARIES ${ORCHARD_METIS})
# DCMTK by hand, too: its own package names every library it has, with their dependencies to build against.
find_path(ORCHARD_DCMTK_INCLUDE dcmtk/config/osconfig.h REQUIRED)
foreach(part dcmjpeg dcmjpls dcmdata oflog ofstd)
  find_library(ORCHARD_DCMTK_${part} ${part} REQUIRED)
  list(APPEND orchard_dcmtk ${ORCHARD_DCMTK_${part}})
endforeach()
orchard_interface(dcmtk INCLUDES ${ORCHARD_DCMTK_INCLUDE} LIBRARIES ${orchard_dcmtk})
pkg_check_modules(OPENJPEG REQUIRED IMPORTED_TARGET libopenjp2)
orchard_interface(openjpeg LIBRARIES PkgConfig::OPENJPEG)
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
