# The helpers that every CMakeLists.txt in the tree uses.
include(GNUInstallDirs)

# Three shared objects. A module goes into orchard-core unless it says TORCH (it uses LibTorch), HEAVY (it would slow the start of
# every program) or DICOM (it uses DCMTK, whose 15 libraries only the medical programs load).
file(WRITE ${CMAKE_BINARY_DIR}/empty.cpp "")
add_library(orchard-core SHARED ${CMAKE_BINARY_DIR}/empty.cpp)
add_library(orchard SHARED ${CMAKE_BINARY_DIR}/empty.cpp)
add_library(orchard-dicom SHARED ${CMAKE_BINARY_DIR}/empty.cpp)
target_link_libraries(orchard PUBLIC orchard-core)
target_link_libraries(orchard-dicom PUBLIC orchard-core)
foreach(library orchard-core orchard orchard-dicom)
  target_include_directories(${library} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/lib> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>
                             $<INSTALL_INTERFACE:include/orchard>)
  set_target_properties(${library} PROPERTIES BUILD_RPATH_USE_ORIGIN ON INSTALL_RPATH "$ORIGIN")
endforeach()

# orchard_library(name [TORCH | HEAVY | DICOM] SOURCES a.cpp ... [LIBRARIES Orchard::hdf5 ...])
# Compiles one module and puts it into its shared object. LIBRARIES are private to the module.
function(orchard_library name)
  cmake_parse_arguments(A "TORCH;HEAVY;DICOM" "" "SOURCES;LIBRARIES;DEFINITIONS" ${ARGN})
  set(module orchard_${name}_module)
  add_library(${module} OBJECT ${A_SOURCES})
  target_include_directories(${module} PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  target_compile_definitions(${module} PRIVATE ${A_DEFINITIONS})
  set(shared orchard-core)
  if(A_TORCH OR A_HEAVY)
    set(shared orchard)
  elseif(A_DICOM)
    set(shared orchard-dicom)
  endif()
  if(A_TORCH)
    list(APPEND A_LIBRARIES Orchard::libtorch)
  endif()
  target_link_libraries(${module} PRIVATE Orchard::fmt Orchard::json ${A_LIBRARIES})
  target_sources(${shared} PRIVATE $<TARGET_OBJECTS:${module}>)
  target_link_libraries(${shared} PRIVATE ${A_LIBRARIES} Threads::Threads)
endfunction()

# orchard_tool(name [TORCH] SOURCES main.cpp ... [LIBEXEC]): bin/<name>, or libexec/orchard/<name> for a program's tensor half.
# The target `programs` builds all of them, and nothing else.
add_custom_target(programs)
function(orchard_tool name)
  cmake_parse_arguments(A "TORCH;LIBEXEC" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  add_dependencies(programs ${name})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tools)
  target_link_libraries(${name} PRIVATE orchard-core Orchard::fmt Orchard::json ${A_LIBRARIES})
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE orchard Orchard::libtorch)
  endif()
  if(A_LIBEXEC)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/libexec/orchard
                          INSTALL_RPATH "$ORIGIN/../../lib")
    install(TARGETS ${name} RUNTIME DESTINATION libexec/orchard)
  else()
    set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
    install(TARGETS ${name} RUNTIME DESTINATION bin)
  endif()
endfunction()

# orchard_test(name [TORCH] SOURCES a_test.cpp ... [LIBRARIES ...] [LABELS ...]): a GoogleTest executable and its ctest entry.
# Those without LibTorch get the label core: `scripts/test --asan` builds them (target core-tests) and runs them under sanitizers.
add_custom_target(core-tests)
function(orchard_test name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT ORCHARD_TESTS)
    return()
  endif()
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED CONFIG)
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE orchard-core Orchard::fmt Orchard::json rapidcheck GTest::gmock GTest::gtest_main
                        ${A_LIBRARIES})
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE orchard Orchard::libtorch)
  else()
    list(APPEND A_LABELS core)
    add_dependencies(core-tests ${name})
  endif()
  target_compile_definitions(${name} PRIVATE ORCHARD_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ORCHARD_BUILD_DIR="${CMAKE_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT 900)
endfunction()

# orchard_bench(name [TORCH] SOURCES a_bench.cpp ... [LIBRARIES ...]): a Google Benchmark executable; never run by ctest.
function(orchard_bench name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT ORCHARD_BENCHES)
    return()
  endif()
  find_package(benchmark REQUIRED)
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE orchard-core Orchard::fmt Orchard::json benchmark::benchmark ${A_LIBRARIES})
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE orchard Orchard::libtorch)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

# orchard_oracle_test(name script.py [LABELS ...]): a pytest file that runs in the oracles' Python environment. It finds programs and
# data through ORCHARD_BUILD_DIR and ORCHARD_SOURCE_DIR, and is skipped, saying so, where the environment is not installed.
function(orchard_oracle_test name script)
  cmake_parse_arguments(A "" "" "LABELS" ${ARGN})
  if(NOT ORCHARD_TESTS)
    return()
  endif()
  add_test(NAME ${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/oracle/run_pytest ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1200 LABELS "oracle;${A_LABELS}"
    ENVIRONMENT "ORCHARD_SOURCE_DIR=${CMAKE_SOURCE_DIR};ORCHARD_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# orchard_mpi_test(name target RANKS 1 2 ... [ARGS ...]): for each N, `mpirun -n N target ARGS` must print what `target ARGS --ranks N`
# prints (simulated ranks in one process). Skipped where MPI is absent.
function(orchard_mpi_test name target)
  cmake_parse_arguments(A "" "" "RANKS;ARGS" ${ARGN})
  if(NOT ORCHARD_TESTS OR NOT TARGET Orchard::mpi)
    return()
  endif()
  foreach(ranks ${A_RANKS})
    add_test(NAME ${name}_${ranks} COMMAND ${CMAKE_SOURCE_DIR}/tests/dist/same_as_simulated ${MPIEXEC_EXECUTABLE} ${ranks}
             $<TARGET_FILE:${target}> ${A_ARGS})
    set_tests_properties(${name}_${ranks} PROPERTIES TIMEOUT 300 LABELS dist)
  endforeach()
endfunction()

# orchard_fuzz(name SOURCES base/error.cpp ... [LIBRARIES Orchard::json ...] [SHARED orchard-dicom]): the fuzz target <name>_fuzz.cpp with
# the seeds corpus/<name>/. A replay test always runs the seeds through it; it links orchard-core and SHARED. With ORCHARD_FUZZ (clang:
# cmake --preset fuzz) also the libFuzzer executable fuzz/<name>, which compiles SOURCES, named relative to lib/, with coverage.
function(orchard_fuzz name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBRARIES;SHARED" ${ARGN})
  orchard_test(${name}_replay_test SOURCES ${name}_fuzz.cpp ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_test.cpp
    LIBRARIES ${A_LIBRARIES} ${A_SHARED})
  if(ORCHARD_TESTS)
    target_compile_definitions(${name}_replay_test PRIVATE ORCHARD_FUZZ_CORPUS="${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
  endif()
  if(ORCHARD_FUZZ)
    list(TRANSFORM A_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/lib/)
    add_executable(${name}_fuzz ${name}_fuzz.cpp ${A_SOURCES})
    target_include_directories(${name}_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name}_fuzz PRIVATE Orchard::fmt Orchard::json ${A_LIBRARIES})
    target_compile_options(${name}_fuzz PRIVATE -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
    set_target_properties(${name}_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz OUTPUT_NAME ${name})
  endif()
endfunction()

# orchard_cli_test(name script.py [LABELS ...]): a test of real processes in the standard library's unittest. It finds the programs in
# ORCHARD_BIN, the repository in ORCHARD_SOURCE_DIR and the build tree in ORCHARD_BUILD_DIR, and may import from tests/cli.
function(orchard_cli_test name script)
  cmake_parse_arguments(A "" "" "LABELS" ${ARGN})
  if(NOT ORCHARD_TESTS)
    return()
  endif()
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS "cli;${A_LABELS}"
    ENVIRONMENT "ORCHARD_BIN=${CMAKE_BINARY_DIR}/bin;ORCHARD_SOURCE_DIR=${CMAKE_SOURCE_DIR};ORCHARD_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/cli;PYTHONDONTWRITEBYTECODE=1")
endfunction()
