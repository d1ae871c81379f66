# Every library that uvic stands on, found or refused with a hint.

# LibTorch: CMAKE_PREFIX_PATH, then Debian's package, then the one inside a Python wheel.
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  find_program(UVIC_PYTHON NAMES python3 python)
  if(UVIC_PYTHON)
    execute_process(
      COMMAND ${UVIC_PYTHON} -c "import torch; print(torch.utils.cmake_prefix_path)"
      OUTPUT_VARIABLE UVIC_TORCH_WHEEL OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(UVIC_TORCH_WHEEL)
      list(APPEND CMAKE_PREFIX_PATH ${UVIC_TORCH_WHEEL})
      find_package(Torch QUIET)
    endif()
  endif()
endif()
if(NOT Torch_FOUND)
  message(FATAL_ERROR
    "LibTorch not found. Install it (Debian 12: apt-get install libtorch-dev libopenblas0-openmp), "
    "or unpack the archive from pytorch.org and pass -DCMAKE_PREFIX_PATH=/path/to/libtorch, "
    "or activate a Python environment that has torch.")
endif()
message(STATUS "LibTorch ${Torch_VERSION}: ${TORCH_INSTALL_PREFIX}")

# Debian ships OpenCV's CMake files only with all of OpenCV; core and imgproc alone are found by hand.
find_package(OpenCV QUIET COMPONENTS core imgproc)
if(NOT OpenCV_FOUND)
  find_path(OPENCV_INCLUDE_DIR opencv2/imgproc.hpp PATH_SUFFIXES opencv4 REQUIRED)
  find_library(OPENCV_CORE_LIBRARY opencv_core REQUIRED)
  find_library(OPENCV_IMGPROC_LIBRARY opencv_imgproc REQUIRED)
  set(OpenCV_INCLUDE_DIRS ${OPENCV_INCLUDE_DIR})
  set(OpenCV_LIBS ${OPENCV_IMGPROC_LIBRARY} ${OPENCV_CORE_LIBRARY})
endif()
add_library(uvic_opencv INTERFACE)
target_include_directories(uvic_opencv SYSTEM INTERFACE ${OpenCV_INCLUDE_DIRS})
target_link_libraries(uvic_opencv INTERFACE ${OpenCV_LIBS})
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
# libzip's own CMake files refuse to load where its command-line tools are not installed.
find_path(LIBZIP_INCLUDE_DIR zip.h REQUIRED)
find_library(LIBZIP_LIBRARY zip REQUIRED)
add_library(uvic_libzip INTERFACE)
target_include_directories(uvic_libzip SYSTEM INTERFACE ${LIBZIP_INCLUDE_DIR})
target_link_libraries(uvic_libzip INTERFACE ${LIBZIP_LIBRARY})
find_path(STB_INCLUDE_DIR NAMES stb_image.h PATH_SUFFIXES stb REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
if(UVIC_TESTS)
  find_package(Catch2 REQUIRED)
endif()
