# Several processes by LibTorch's c10d: whether this build has it (UVIC_PROCESSES_BUILD). Its header of Gloo includes Gloo's own,
# which Debian has in libgloo-dev and LibTorch's archives do not.
set(UVIC_PROCESSES AUTO CACHE STRING "Several processes: ON, OFF, or AUTO: where LibTorch has c10d with Gloo, and Gloo's headers are there")
set_property(CACHE UVIC_PROCESSES PROPERTY STRINGS AUTO ON OFF)
set(UVIC_PROCESSES_BUILD OFF)
include(CheckCXXSourceCompiles)
if(NOT UVIC_PROCESSES STREQUAL "OFF")
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

# GPUs: whether this build sums gradients on them, by c10d with NCCL (UVIC_NCCL_BUILD). LibTorch's header includes NCCL's own,
# which Debian has in libnccl-dev and PyTorch's wheels in nvidia/nccl (UVIC_NCCL_ROOT). abort() and shutdown(): LibTorch 2.1 or newer.
set(UVIC_NCCL AUTO CACHE STRING "Training on several GPUs: ON, OFF, or AUTO: with UVIC_CUDA where LibTorch has c10d with NCCL, and nccl.h is there")
set_property(CACHE UVIC_NCCL PROPERTY STRINGS AUTO ON OFF)
set(UVIC_NCCL_ROOT "" CACHE PATH "Folder of NCCL's include/ and lib/, looked into first")
set(UVIC_NCCL_BUILD OFF)
if(UVIC_CUDA_BUILD AND NOT UVIC_NCCL STREQUAL "OFF")
  find_path(UVIC_NCCL_INCLUDE nccl.h HINTS ${UVIC_NCCL_ROOT}/include ${UVIC_CUDA_ROOT}/include)
  find_library(UVIC_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${UVIC_NCCL_ROOT}/lib ${UVIC_CUDA_ROOT}/lib64 ${UVIC_CUDA_ROOT}/lib)
  if(UVIC_NCCL_INCLUDE AND UVIC_NCCL_LIBRARY)
    add_library(uvic_nccl INTERFACE)
    target_include_directories(uvic_nccl SYSTEM INTERFACE ${UVIC_NCCL_INCLUDE})
    target_link_libraries(uvic_nccl INTERFACE ${UVIC_NCCL_LIBRARY} uvic_cuda_runtime)
    set(CMAKE_REQUIRED_INCLUDES ${TORCH_INCLUDE_DIRS} ${UVIC_NCCL_INCLUDE} ${UVIC_CUDA_INCLUDE})
    set(CMAKE_REQUIRED_LIBRARIES ${TORCH_LIBRARIES} ${UVIC_NCCL_LIBRARY})
    set(CMAKE_REQUIRED_FLAGS "-std=c++17")
    set(CMAKE_REQUIRED_DEFINITIONS -DUSE_C10D_NCCL)
    check_cxx_source_compiles("
      #include <torch/csrc/distributed/c10d/HashStore.hpp>
      #include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
      int main() {
        c10d::ProcessGroupNCCL group(c10::make_intrusive<c10d::HashStore>(), 0, 1);
        group.abort();
        group.shutdown();
      }" UVIC_HAS_NCCL)
    unset(CMAKE_REQUIRED_INCLUDES)
    unset(CMAKE_REQUIRED_LIBRARIES)
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_REQUIRED_DEFINITIONS)
    set(UVIC_NCCL_BUILD ${UVIC_HAS_NCCL})
  endif()
endif()
if(UVIC_NCCL STREQUAL "ON" AND NOT UVIC_NCCL_BUILD)
  message(FATAL_ERROR "UVIC_NCCL is ON, but CUDA kernels are ${UVIC_CUDA_BUILD}, nccl.h is ${UVIC_NCCL_INCLUDE}, its library is "
    "${UVIC_NCCL_LIBRARY}, and c10d with NCCL is ${UVIC_HAS_NCCL} (Debian: apt-get install libnccl-dev, or pass -DUVIC_NCCL_ROOT)")
endif()
message(STATUS "Training on several GPUs (c10d with NCCL): ${UVIC_NCCL_BUILD}")
