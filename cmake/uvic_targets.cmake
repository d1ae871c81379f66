# uvic_library(NAME SOURCES a.cpp ... LINK uvic::x ...) and uvic_test(NAME ...): one place for the flags of our code.

# Position-independent code, as -fPIC for libraries and programs alike. CMake's own property would give programs -fPIE, and
# GCC then rejects the precompiled header that the libraries share with them.
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
add_compile_options(-fPIC)

# GCC collects its own garbage once in every 0.1 GB that it allocates, a tenth of the time of a batch of sources.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(--param=ggc-min-expand=100 --param=ggc-min-heapsize=1048576)
endif()

add_library(uvic_flags INTERFACE)
target_compile_features(uvic_flags INTERFACE cxx_std_17)
target_include_directories(uvic_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_include_directories(uvic_flags SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS} ${STB_INCLUDE_DIR})
# Newer wheels of PyTorch carry the headers of another fmt next to LibTorch's own, and those are found first. Then they are
# the whole of it: no library of theirs exists to link.
set(UVIC_FMT fmt::fmt)
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
foreach(folder ${TORCH_INCLUDE_DIRS})
  if(EXISTS ${folder}/fmt/format-inl.h AND NOT folder IN_LIST fmt_include)
    set(UVIC_FMT "")
    target_compile_definitions(uvic_flags INTERFACE FMT_HEADER_ONLY=1)
    message(STATUS "fmt: LibTorch's headers in ${folder}")
    break()
  endif()
endforeach()
# OpenMP everywhere: at::parallel_for is compiled in our files, and without it runs in one thread, silently.
target_link_libraries(uvic_flags INTERFACE
  ${TORCH_LIBRARIES} ${UVIC_FMT} nlohmann_json::nlohmann_json OpenMP::OpenMP_CXX Threads::Threads)
if(UVIC_SANITIZE)
  target_compile_options(uvic_flags INTERFACE -fsanitize=${UVIC_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(uvic_flags INTERFACE -fsanitize=${UVIC_SANITIZE})
endif()
if(UVIC_FUZZ)
  set(UVIC_FUZZ_FLAGS)
  if(UVIC_FUZZ_SANITIZE)
    set(UVIC_FUZZ_FLAGS -O1 -fsanitize=${UVIC_FUZZ_SANITIZE} -fno-sanitize-recover=all)
  endif()
  target_compile_options(uvic_flags INTERFACE
    ${UVIC_FUZZ_FLAGS} -fsanitize=fuzzer-no-link -fno-omit-frame-pointer)
  target_link_options(uvic_flags INTERFACE ${UVIC_FUZZ_FLAGS})
endif()
if(UVIC_COVERAGE)
  target_compile_options(uvic_flags INTERFACE --coverage -O1 -fprofile-update=atomic)
  target_link_options(uvic_flags INTERFACE --coverage)
endif()

add_library(uvic_warnings INTERFACE)
target_compile_options(uvic_warnings INTERFACE -Wall -Wextra)
if(UVIC_WERROR)
  target_compile_options(uvic_warnings INTERFACE -Werror)
endif()
# False alarms of GCC 13 and 14: a reference into a table that is found by a temporary string, and a std::vector<bool> in
# LibTorch's custom_function.h copied past its end (bug 110498).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  target_compile_options(uvic_warnings INTERFACE -Wno-dangling-reference)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
  target_compile_options(uvic_warnings INTERFACE -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # tensor_allocator.cpp says why.
  target_compile_options(uvic_warnings INTERFACE -Wno-inconsistent-missing-override)
endif()
if(UVIC_SANITIZE)
  # Under AddressSanitizer GCC 12 warns of the standard library's <regex> (bug 105562).
  target_compile_options(uvic_warnings INTERFACE -Wno-error=maybe-uninitialized)
endif()

# ccache preprocesses each file apart and hashes the precompiled header: a first build takes longer, repeated ones from
# scratch far less.
option(UVIC_CCACHE "Compile through ccache" OFF)
if(UVIC_CCACHE)
  find_program(UVIC_CCACHE_PROGRAM ccache REQUIRED)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${UVIC_CCACHE_PROGRAM})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()

# What needs no vectoriser compiles in less time so (QUICK), and what only calls others in still less (GLUE). GCC 13 and 14 take a
# precompiled header of -O3 with -O2 alone.
set(UVIC_QUICK_COMPILE -O1)
set(UVIC_GLUE_COMPILE -Og)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  set(UVIC_QUICK_COMPILE -O2)
  set(UVIC_GLUE_COMPILE -O2)
endif()

# Most of a file's compilation is the headers around it: in batches a first build is shorter, a repeated one longer.
# In a batch the anonymous namespaces of its files are one: their names must differ within a library.
option(UVIC_UNITY "Compile each library's and each test program's sources in batches" OFF)
set(UVIC_BATCH 36)
if(UVIC_UNITY)  # A batch takes 2 GB to compile, and more of them than cores only take the caches from each other.
  cmake_host_system_information(RESULT memory QUERY TOTAL_PHYSICAL_MEMORY)
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  math(EXPR jobs "${memory} / 2200")
  if(jobs GREATER cores)
    set(jobs ${cores})
  endif()
  if(jobs LESS 1)
    set(jobs 1)
  endif()
  set_property(GLOBAL PROPERTY JOB_POOLS compile=${jobs})
  set(CMAKE_JOB_POOL_COMPILE compile)
endif()

# One precompiled header for the whole tree: LibTorch's headers alone take ten seconds. What it instantiates, every source
# that includes it compiles again, so it has only what most of them need.
if(NOT EXISTS ${CMAKE_BINARY_DIR}/pch.cpp)
  file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "")
endif()
set(plain_headers <fmt/format.h> <nlohmann/json.hpp> <algorithm> <cmath> <filesystem> <functional> <map> <memory> <optional>
  <stdexcept> <string> <vector>)
add_library(uvic_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(uvic_pch PRIVATE uvic_flags uvic_warnings)
target_precompile_headers(uvic_pch PRIVATE
  <torch/autograd.h> <torch/cuda.h> <torch/nn/module.h> <torch/types.h> <torch/utils.h> ${plain_headers})
# And one for sources that reach no header of LibTorch: a quarter of it, and compiled in a tenth of the time.
add_library(uvic_plain_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(uvic_plain_pch PRIVATE uvic_flags uvic_warnings)
target_precompile_headers(uvic_plain_pch PRIVATE ${plain_headers})

# Sources after PLAIN include nothing of LibTorch, directly or not. QUICK and GLUE: see above.
function(uvic_library name)
  cmake_parse_arguments(ARG "QUICK;GLUE" "" "SOURCES;PLAIN;LINK" ${ARGN})
  add_library(uvic_${name} STATIC ${ARG_SOURCES})
  add_library(uvic::${name} ALIAS uvic_${name})
  target_link_libraries(uvic_${name} PUBLIC uvic_flags ${ARG_LINK} PRIVATE uvic_warnings)
  target_precompile_headers(uvic_${name} REUSE_FROM uvic_pch)
  set(targets uvic_${name})
  if(ARG_PLAIN)
    add_library(uvic_${name}_plain OBJECT ${ARG_PLAIN})
    target_link_libraries(uvic_${name}_plain PRIVATE uvic_flags ${ARG_LINK} uvic_warnings)
    target_precompile_headers(uvic_${name}_plain REUSE_FROM uvic_plain_pch)
    target_sources(uvic_${name} PRIVATE $<TARGET_OBJECTS:uvic_${name}_plain>)
    list(APPEND targets uvic_${name}_plain)
  endif()
  set_target_properties(${targets} PROPERTIES UNITY_BUILD ${UVIC_UNITY} UNITY_BUILD_BATCH_SIZE ${UVIC_BATCH})
  foreach(speed QUICK GLUE)
    if(ARG_${speed})
      foreach(target IN LISTS targets)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:${UVIC_${speed}_COMPILE}>)
      endforeach()
    endif()
  endforeach()
endfunction()

# Loops over numbers or bytes that are worth the vectoriser, in such a library. Fuzz targets keep their own flags.
set(UVIC_FAST_COMPILE $<$<CONFIG:Release>:-O3>)
if(UVIC_FUZZ)
  set(UVIC_FAST_COMPILE "")
endif()
function(uvic_fast_sources)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON COMPILE_OPTIONS "${UVIC_FAST_COMPILE}")
endfunction()

# uvic_add_tests(TARGET PREFIX SOURCES...): one ctest entry for each file of tests. One for each test would load LibTorch a thousand
# times, half a second of a core each, and train the small networks that the tests of a file share as often. A failure names the
# test; a single one runs by TARGET "its name".
function(uvic_add_tests target prefix)
  set(selection)
  if(Catch2_VERSION VERSION_LESS 3)
    set(selection --warn NoTests) # which Catch2 3 refuses by itself
  endif()
  set(timeout 900)
  if(UVIC_SANITIZE OR UVIC_COVERAGE)
    set(timeout 3600)
  endif()
  set(stems)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_test\\.cpp$")
      get_filename_component(stem ${source} NAME_WE)
      if(stem IN_LIST stems)
        message(FATAL_ERROR "${target}: two files are called ${stem}.cpp, which is how ctest selects the tests of a file; "
                            "rename one")
      endif()
      list(APPEND stems ${stem})
      string(REGEX REPLACE "_test\\.cpp$" "" name ${source})
      add_test(NAME "${prefix}: ${name}"
        COMMAND ${target} --filenames-as-tags "[#${stem}]~[.]" ${selection} --durations yes)
      # Several files run at once: threads that spin while they wait would take the cores from each other.
      set_tests_properties("${prefix}: ${name}" PROPERTIES TIMEOUT ${timeout} ENVIRONMENT OMP_WAIT_POLICY=passive)
    endif()
  endforeach()
endfunction()

# uvic_test(NAME SOURCES ... LINK ...): binary NAME_test and its ctest entries.
function(uvic_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE uvic_test_support uvic_warnings ${ARG_LINK})
  target_precompile_headers(${name}_test REUSE_FROM uvic_pch)
  set_target_properties(${name}_test PROPERTIES UNITY_BUILD ${UVIC_UNITY} UNITY_BUILD_BATCH_SIZE ${UVIC_BATCH})
  # What is tested keeps its flags; the tests themselves compile in half the time.
  target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:${UVIC_QUICK_COMPILE}>)
  target_compile_definitions(${name}_test PRIVATE UVIC_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
  uvic_add_tests(${name}_test ${name} ${ARG_SOURCES})
endfunction()
