# nvcc from the system, or from the PyPI wheels next to LibTorch. Sets ORCHARD_HAVE_CUDA and Orchard::cuda, which host code that calls
# kernel launchers links to: it defines ORCHARD_HAVE_CUDA where there are kernels, and is empty otherwise.
#
# The CUDA runtime is linked statically and its symbols are hidden. It loads the driver (libcuda.so.1) at the first call and reports
# "no device" where there is none, so liborchard-core starts on machines without CUDA; and it cannot be mixed up with the
# libcudart.so that LibTorch brings along. Both work on the same primary context, so streams and memory are shared.
set(ORCHARD_HAVE_CUDA OFF)
if(NOT ORCHARD_CUDA STREQUAL "off")
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(orchard_nvcc nvcc HINTS ${ORCHARD_LIBTORCH}/../nvidia/cu13/bin /usr/local/cuda/bin)
    if(orchard_nvcc)
      set(CMAKE_CUDA_COMPILER ${orchard_nvcc})
    endif()
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-virtual;90-real" CACHE STRING "CUDA architectures")
  endif()
  # The wheels keep their libraries in lib/, where nvcc looks in lib64/: CMake's test of the compiler needs them, compiling does not.
  if(CMAKE_CUDA_COMPILER)
    get_filename_component(orchard_cuda_toolkit "${CMAKE_CUDA_COMPILER}/../.." ABSOLUTE)
    if(NOT EXISTS ${orchard_cuda_toolkit}/lib64)
      set(ENV{LIBRARY_PATH} "${orchard_cuda_toolkit}/lib:$ENV{LIBRARY_PATH}")
    endif()
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    # Not find_package(CUDAToolkit): it insists on libcudart.so, which the wheels carry only as libcudart.so.13.
    find_path(ORCHARD_CUDA_INCLUDE cuda_runtime_api.h HINTS ${orchard_cuda_toolkit}/include
              ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} REQUIRED)
    find_library(ORCHARD_CUDART_STATIC libcudart_static.a HINTS ${orchard_cuda_toolkit}/lib ${orchard_cuda_toolkit}/lib64
                 ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} REQUIRED)
    orchard_interface(cuda INCLUDES ${ORCHARD_CUDA_INCLUDE}
                      LIBRARIES ${ORCHARD_CUDART_STATIC} -Wl,--exclude-libs,libcudart_static.a Threads::Threads ${CMAKE_DL_LIBS} rt
                      DEFINITIONS ORCHARD_HAVE_CUDA=1)
    set(ORCHARD_HAVE_CUDA ON)
    find_path(ORCHARD_NCCL_INCLUDE nccl.h HINTS ${ORCHARD_LIBTORCH}/../nvidia/nccl/include ${ORCHARD_CUDA_INCLUDE})
  elseif(ORCHARD_CUDA STREQUAL "on")
    message(FATAL_ERROR "ORCHARD_CUDA=on, but there is no nvcc: install the CUDA toolkit or run scripts/setup --cuda")
  endif()
endif()
if(NOT ORCHARD_HAVE_CUDA)
  orchard_interface(cuda)
endif()

# orchard_cuda_library(name [TORCH] SOURCES a.cu ...)
# Compiles the kernels of one module and puts them into liborchard-core, or with TORCH into liborchard.
function(orchard_cuda_library name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES" ${ARGN})
  set(module orchard_cuda_${name}_module)
  add_library(${module} OBJECT ${A_SOURCES})
  target_include_directories(${module} PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})
  # No contraction of a*b+c: the arithmetic that a kernel shares with its twin gives the same bits on both.
  target_compile_options(${module} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --extended-lambda -Xcompiler=-Wall
                                           -Xptxas=--warn-on-spills>)
  target_link_libraries(${module} PRIVATE Orchard::cuda)
  set(shared orchard-core)
  if(A_TORCH)
    set(shared orchard)
  endif()
  target_sources(${shared} PRIVATE $<TARGET_OBJECTS:${module}>)
  target_link_libraries(${shared} PRIVATE Orchard::cuda)
  set_target_properties(${shared} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()
message(STATUS "CUDA kernels: ${ORCHARD_HAVE_CUDA}")
