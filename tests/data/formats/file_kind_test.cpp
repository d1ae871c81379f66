#include "data/formats/file_kind.h"

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "data/formats/zip_archive.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

FileKind kind_of(const std::string& bytes, const std::string& name = "a") {
  return file_kind(MappedFile::from_bytes(bytes, name));
}

std::string tar() {
  std::string bytes(512, '\0');
  bytes.replace(257, 5, "ustar");
  return bytes;
}

}  // namespace

TEST_CASE("file kind: what is no file of ours is named, with what to do", "[kind]") {
  const auto named = [](const std::string& bytes, const char* text) {
    INFO(text);
    CHECK(kind_of(bytes) == FileKind::kUnknown);
    CHECK_THAT(content_text(bytes), Contains(text));
    CHECK_THROWS_WITH(
        decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "x.png"),
        Contains("x.png: not a PNG, JPEG, WebP or BMP image but ") && Contains(text));
  };
  named("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer");
  named("\n<!DOCTYPE html><html>", "an HTML page");
  named("<html lang=\"en\">", "an HTML page");
  named("\x1f\x8b\x08 and more", "a gzip file; unpack it first");
  named(tar(), "a tar archive");
  named("GIF89a....", "a GIF image; save it as PNG");
  named(std::string("II*\0....", 8), "a TIFF image");
  named(std::string("MM\0*....", 8), "a TIFF image");
  named(std::string("\0\0\0\x1c"
                    "ftypavif",
                    12),
        "a HEIC or AVIF image");
  named("8BPS", "a Photoshop image");
}

TEST_CASE("file kind: every reader names what it was given instead of its own kind", "[kind]") {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
  const std::pair<std::string, std::string> others[] = {
      {pointer, "it is a Git LFS pointer, not the file itself; run: git lfs pull"},
      {"<!DOCTYPE html><html><body>Sign in</body></html>", "it is an HTML page"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "it is an XML page"},
      {"\x1f\x8b\x08 and more bytes", "it is a gzip file; unpack it first"},
      {tar(), "it is a tar archive"}};
  for (const auto& other : others) {
    const auto &bytes = other.first, &text = other.second;
    INFO(text);
    const auto file = MappedFile::from_bytes(bytes, "the-file");
    const std::function<void()> readers[] = {[&] { read_safetensors(file); },
                                             [&] { read_pth_file(file); },
                                             [&] { read_npy(file); },
                                             [&] { NpzFile{file}; },
                                             [&] { ZipReader{file}; },
                                             [&] { parse_json(bytes, "the-file"); }};
    for (const auto& read : readers)
      CHECK_THROWS_WITH(read(), Contains("the-file: ") && Contains(text));
    CHECK(foreign_text(bytes) == ": it is " + content_text(bytes));
  }
  CHECK(foreign_text("\x93NUMPY").empty());  // read by some reader
}

TEST_CASE("file kind: the tar form of PyTorch 0.1 is told from other tar archives", "[kind]") {
  auto old = tar();
  old.replace(0, 8, "sys_info");
  CHECK_THROWS_WITH(read_pth_file(MappedFile::from_bytes(old, "a.pth")),
                    Contains("the tar form of PyTorch 0.1"));
}

TEST_CASE("file kind: content goes before the name, the name before two letters", "[kind]") {
  CHECK(kind_of("\x89PNG\r\n\x1a\n", "a.npy") == FileKind::kImage);
  CHECK(kind_of(read_file(UVIC_GOLDEN_DIR "/formats/lossy.webp"), "a.npy") == FileKind::kImage);
  CHECK(kind_of("\x93NUMPY", "a.png") == FileKind::kNpy);
  CHECK(kind_of("BM and so on", "weights.pth") == FileKind::kPth);
  CHECK(kind_of("BM and so on", "a.bmp") == FileKind::kImage);
  CHECK(kind_of("damaged", "a.safetensors") == FileKind::kSafetensors);
  CHECK(kind_of("{}", "a") == FileKind::kJson);
  CHECK(kind_of("a = 1", "a.toml") == FileKind::kToml);
  CHECK(kind_of(std::string(3073, '\1'), "data_batch_1.bin") == FileKind::kCifarBatch);
  CHECK(kind_of("text", "notes.txt") == FileKind::kUnknown);
  CHECK(content_text("text").empty());
}

TEST_CASE("file kind: a row of the table is all that a kind needs", "[kind]") {
  std::set<std::string> names;
  for (const auto& row : file_kinds()) {
    CHECK(names.insert(row.name).second);
    CHECK(*row.help != 0);
  }
  const auto added = file_kinds().with({"dummy",
                                        "a dummy",
                                        FileKind::kUnknown,
                                        "forget it",
                                        [](const FileHead& h) { return h.bytes == "dummy"; },
                                        nullptr});
  CHECK(content_text("dummy") == "a dummy; forget it");
  CHECK_THAT(readable_kinds_text(), Contains("safetensors") && !Contains("dummy"));
}
