# CUDA: whether this build has its kernels (UVIC_CUDA_BUILD), the runtime that they need, and how nvcc is called.
set(UVIC_CUDA_BUILD OFF)
find_program(UVIC_NVCC NAMES nvcc HINTS $ENV{CUDACXX} $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
if(NOT UVIC_CUDA STREQUAL "OFF")
  if(TORCH_CUDA_LIBRARIES AND UVIC_NVCC)
    set(UVIC_CUDA_BUILD ON)
  elseif(UVIC_CUDA STREQUAL "ON" AND NOT TORCH_CUDA_LIBRARIES)
    message(FATAL_ERROR "UVIC_CUDA is ON, but this LibTorch has no CUDA; pass -DCMAKE_PREFIX_PATH=/path/to/libtorch")
  elseif(UVIC_CUDA STREQUAL "ON")
    message(FATAL_ERROR "UVIC_CUDA is ON, but there is no nvcc; pass -DUVIC_NVCC=/path/to/nvcc")
  endif()
endif()
if(UVIC_CUDA_OBJECTS AND NOT UVIC_NVCC)
  message(FATAL_ERROR "UVIC_CUDA_OBJECTS is ON, but there is no nvcc; pass -DUVIC_NVCC=/path/to/nvcc")
endif()
message(STATUS "CUDA kernels: ${UVIC_CUDA_BUILD} (nvcc: ${UVIC_NVCC})")

if(UVIC_CUDA_BUILD)
  # The runtime that LibTorch itself uses where its CMake files name it: one process, one runtime.
  add_library(uvic_cuda_runtime INTERFACE)
  get_filename_component(UVIC_CUDA_ROOT ${UVIC_NVCC} REALPATH)
  get_filename_component(UVIC_CUDA_ROOT ${UVIC_CUDA_ROOT}/../.. ABSOLUTE)
  if(TARGET CUDA::cudart)
    target_link_libraries(uvic_cuda_runtime INTERFACE CUDA::cudart)
  else()
    find_library(UVIC_CUDART cudart
      HINTS ${UVIC_CUDA_ROOT}/lib64 ${UVIC_CUDA_ROOT}/lib ${UVIC_CUDA_ROOT}/targets/x86_64-linux/lib REQUIRED)
    target_link_libraries(uvic_cuda_runtime INTERFACE ${UVIC_CUDART})
  endif()
  find_path(UVIC_CUDA_INCLUDE cuda_runtime.h
    HINTS ${UVIC_CUDA_ROOT}/include ${UVIC_CUDA_ROOT}/targets/x86_64-linux/include ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
  target_include_directories(uvic_cuda_runtime SYSTEM INTERFACE ${UVIC_CUDA_INCLUDE})
endif()

# uvic_cuda_objects(RESULT a.cu ...): RESULT lists the objects that nvcc makes of these files of the current folder.
function(uvic_cuda_objects result)
  set(targets "")
  foreach(architecture ${UVIC_CUDA_ARCHITECTURES})
    list(APPEND targets -gencode=arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  set(objects "")
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.cu.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${UVIC_NVCC} -std=c++17 -O3 -I${PROJECT_SOURCE_DIR} --Werror all-warnings -Xcompiler -fPIC ${targets}
        -MD -MF ${object}.d -MT ${object} -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d VERBATIM COMMENT "nvcc ${source}")
    list(APPEND objects ${object})
  endforeach()
  set(${result} ${objects} PARENT_SCOPE)
endfunction()
