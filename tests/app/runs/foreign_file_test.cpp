// Files that are no weights, given as weights.
#include <fstream>
#include <string>
#include <utility>

#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "app/runs/weights_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using Catch::Contains;
using uvic::test::Scratch;

TEST_CASE("weights: a file of another kind is named for what it is", "[weights]") {
  const Scratch scratch;
  const std::pair<const char*, std::string> others[] = {
      {"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"},
      {"an HTML page", "<!DOCTYPE html><html></html>"},
      {"a gzip file", "\x1f\x8b\x08 and more bytes"}};
  for (const auto& [kind, bytes] : others)
    for (const char* name : {"a.safetensors", "a.pth", "a.ckpt", "a"}) {
      INFO(kind << " " << name);
      std::ofstream(scratch / name, std::ios::binary) << bytes;
      CHECK_THROWS_WITH(open_weights(scratch / name), Contains(name) && Contains(kind));
    }
}

TEST_CASE("config: a file of another kind is named for what it is", "[weights]") {
  RunConfig config;
  CHECK_THROWS_WITH(read_toml_text("<!DOCTYPE html><html></html>", "a.toml", config),
                    Contains("a.toml: no config: it is an HTML page"));
  CHECK_THROWS_WITH(
      read_toml_text(
          "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a.toml", config),
      Contains("a.toml: no config: it is a Git LFS pointer"));
}
