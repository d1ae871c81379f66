// The bodies of stb_image and stb_image_write; image_file.cpp is their only caller.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "data/formats/stb_memory.h"

namespace {

thread_local size_t most_bytes = SIZE_MAX;

void* stb_allocate(size_t bytes) { return bytes > most_bytes ? nullptr : std::calloc(bytes, 1); }

void* stb_reallocate(void* memory, size_t before, size_t bytes) {
  if (bytes > most_bytes) return nullptr;
  void* larger = std::realloc(memory, bytes);
  if (larger && bytes > before) std::memset(static_cast<char*>(larger) + before, 0, bytes - before);
  return larger;
}

}  // namespace

#define STBI_MALLOC(bytes) stb_allocate(bytes)
#define STBI_REALLOC_SIZED(memory, before, bytes) stb_reallocate(memory, before, bytes)
#define STBI_FREE(memory) std::free(memory)

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#include <stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace uvic::formats {

StbMemory::StbMemory(size_t most) : most_bytes_before_(most_bytes) { most_bytes = most; }

StbMemory::~StbMemory() { most_bytes = most_bytes_before_; }

}  // namespace uvic::formats
