# Several processes by LibTorch's c10d: whether this build has it (UVIC_PROCESSES_BUILD). Its header of Gloo includes Gloo's own,
# which Debian has in libgloo-dev and LibTorch's archives do not.
set(UVIC_PROCESSES AUTO CACHE STRING "Several processes: ON, OFF, or AUTO: where LibTorch has c10d with Gloo, and Gloo's headers are there")
set_property(CACHE UVIC_PROCESSES PROPERTY STRINGS AUTO ON OFF)
set(UVIC_PROCESSES_BUILD OFF)
if(NOT UVIC_PROCESSES STREQUAL "OFF")
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_INCLUDES ${TORCH_INCLUDE_DIRS})
  set(CMAKE_REQUIRED_LIBRARIES ${TORCH_LIBRARIES})
  set(CMAKE_REQUIRED_FLAGS "-std=c++17")
  set(CMAKE_REQUIRED_DEFINITIONS -DUSE_C10D_GLOO)
  check_cxx_source_compiles("
    #include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
    int main() { return c10d::ProcessGroupGloo::createDefaultDevice() ? 0 : 1; }" UVIC_HAS_GLOO)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
  unset(CMAKE_REQUIRED_FLAGS)
  unset(CMAKE_REQUIRED_DEFINITIONS)
  set(UVIC_PROCESSES_BUILD ${UVIC_HAS_GLOO})
  if(UVIC_PROCESSES STREQUAL "ON" AND NOT UVIC_HAS_GLOO)
    message(FATAL_ERROR "UVIC_PROCESSES is ON, but this LibTorch has no c10d with Gloo, or Gloo's headers are missing "
      "(Debian: apt-get install libgloo-dev)")
  endif()
endif()
message(STATUS "Several processes (c10d with Gloo): ${UVIC_PROCESSES_BUILD}")
