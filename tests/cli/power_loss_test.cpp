// What a disk holds when the power fails. The library of tests/faults/record.cpp writes down all
// that a command does to its files; from that, this test makes the folder as a disk may have it
// after any of these operations, and goes on from there.
//
// A disk keeps what was flushed. Of the rest it may keep anything; these are tried:
//   names    every name is as it was last made, contents are those that were flushed (a file system
//            that writes its journal at once and data late)
//   nothing  names are those of the last flush of their folder, contents those that were flushed
//   torn     as names, and of what was not flushed the first half is there
//
// UVIC_FAULTS_ALL=1 takes every operation, which takes minutes; otherwise a few spread over the
// run.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/cli/whole_files.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

struct Operation {
  std::string name, path, second;
  size_t offset = 0;
  std::string bytes;
};

std::vector<Operation> read_journal(const fs::path& path) {
  const auto text = formats::read_file(path);
  std::vector<Operation> operations;
  for (size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    std::istringstream line(text.substr(at, end - at));
    Operation operation;
    std::string offset, length;
    std::getline(line, operation.name, '\t');
    std::getline(line, operation.path, '\t');
    std::getline(line, operation.second, '\t');
    std::getline(line, offset, '\t');
    std::getline(line, length);
    operation.offset = std::stoull(offset);
    const size_t size = std::stoull(length);
    operation.bytes = text.substr(end + 1, size);
    at = end + 1 + size;
    operations.push_back(std::move(operation));
  }
  return operations;
}

struct Content {
  std::string now, flushed;
};

/// The names of one moment: files with their contents, folders without.
struct Names {
  std::map<std::string, std::shared_ptr<Content>> files;
  std::set<std::string> folders;
};

class Disk {
 public:
  explicit Disk(const std::string& root) : root_(root) {}

  void apply(const Operation& o) {
    if (o.name == "create") now_.files[o.path] = std::make_shared<Content>();
    if (o.name == "mkdir") now_.folders.insert(o.path);
    if (o.name == "rmdir") now_.folders.erase(o.path);
    if (o.name == "unlink") now_.files.erase(o.path);
    if (o.name == "link") now_.files[o.second] = now_.files.at(o.path);
    if (o.name == "truncate") now_.files.at(o.path)->now.resize(o.offset);
    if (o.name == "write" && now_.files.count(o.path)) {
      auto& content = now_.files.at(o.path)->now;
      content.resize(std::max(content.size(), o.offset + o.bytes.size()));
      content.replace(o.offset, o.bytes.size(), o.bytes);
    }
    if (o.name == "rename") {
      REQUIRE(now_.files.count(o.path));  // no folder is renamed in these commands
      now_.files[o.second] = now_.files.at(o.path);
      now_.files.erase(o.path);
    }
    if (o.name == "sync") flush(o.path);
  }

  void make(const std::string& kind, const fs::path& folder) const {
    const auto& names = kind == "nothing" ? flushed_ : now_;
    const auto place = [&](const std::string& path) {
      return folder / fs::path(path).lexically_relative(root_);
    };
    const auto is_reached = [&](const fs::path& path) {
      for (auto above = path.parent_path(); above.string().size() > root_.size();
           above = above.parent_path())
        if (!names.folders.count(above.string())) return false;
      return true;
    };
    for (const auto& path : names.folders)
      if (is_reached(path)) fs::create_directories(place(path));
    for (const auto& [path, content] : names.files) {
      if (!is_reached(path)) continue;
      auto bytes = content->flushed;
      if (kind == "torn" && content->now.size() > bytes.size())
        bytes += content->now.substr(bytes.size(), (content->now.size() - bytes.size()) / 2);
      std::ofstream(place(path), std::ios::binary) << bytes;
    }
  }

 private:
  void flush(const std::string& path) {
    if (const auto file = now_.files.find(path); file != now_.files.end()) {
      file->second->flushed = file->second->now;
      return;
    }
    const auto is_inside = [&](const std::string& name) {
      return fs::path(name).parent_path() == path;
    };
    for (auto it = flushed_.files.begin(); it != flushed_.files.end();)
      it = is_inside(it->first) ? flushed_.files.erase(it) : std::next(it);
    for (const auto& [name, content] : now_.files)
      if (is_inside(name)) flushed_.files[name] = content;
    for (const auto& name : now_.folders)
      if (is_inside(name)) flushed_.folders.insert(name);
  }

  std::string root_;
  Names now_, flushed_;
};

/// Images of the state in a run folder; 0 where there is none.
int64_t images_of(const fs::path& run) {
  if (!fs::exists(run / "state.safetensors")) return 0;
  return std::stoll(
      formats::read_safetensors(run / "state.safetensors").metadata.at("uvic.images_seen"));
}

/// Images in the lines of the log of losses, as far as they can be read.
std::set<int64_t> logged_images(const fs::path& run) {
  std::set<int64_t> images;
  std::ifstream file(run / "stats.jsonl");
  for (std::string text; std::getline(file, text);)
    if (const auto line = formats::try_parse_json(text); line && line->contains("loss"))
      images.insert((*line)["images_seen"].get<int64_t>());
  return images;
}

bool same_tensors(const fs::path& a, const fs::path& b) {
  const auto x = formats::read_safetensors(a).tensors, y = formats::read_safetensors(b).tensors;
  if (x.size() != y.size()) return false;
  return std::all_of(x.begin(), x.end(), [&](const auto& item) {
    return torch::equal(item.second, y.at(item.first));
  });
}

}  // namespace

TEST_CASE("power loss: a run folder loses nothing that was saved, and the run goes on",
          "[faults][power]") {
#ifndef UVIC_RECORD
#define UVIC_RECORD ""
  UVIC_SKIP("not with sanitizers");
#endif
  const Scratch scratch, journal;
  const auto whole =
      run_uvic(short_training(scratch.path() / "run"),
               "env LD_PRELOAD=" UVIC_RECORD " UVIC_RECORD_UNDER=" + scratch.path().string() +
                   " UVIC_RECORD_TO=" + (journal / "journal").string());
  CAPTURE(whole.err);
  REQUIRE(whole.exit_code == 0);
  const auto operations = read_journal(journal / "journal");
  REQUIRE(operations.size() > 50);
  const auto state = (scratch / "run" / "state.safetensors").string();
  const size_t stride = std::getenv("UVIC_FAULTS_ALL") ? 1 : operations.size() / 4;

  Disk disk(scratch.path().string());
  int64_t saved = 0, named = 0;
  size_t tried = 0;
  for (size_t n = 0; n < operations.size(); ++n) {
    const auto& operation = operations[n];
    disk.apply(operation);
    if (operation.name == "rename" && operation.second == state) named += 32;
    // The state counts as saved when the folder that holds its new name is flushed.
    if (operation.name == "sync" && operation.path == fs::path(state).parent_path().string())
      saved = named;
    if ((n + 1) % stride != 0 && n + 1 != operations.size()) continue;
    for (const char* kind : {"names", "nothing", "torn"}) {
      CAPTURE(n, operation.name, operation.path, kind);
      const Scratch after;
      disk.make(kind, after.path());
      check_sound(after.path(), /*killed=*/true);
      const auto run = after / "run";
      const auto images = images_of(run);
      CHECK(images >= saved);
      for (int64_t logged = 16; logged <= images; logged += 16)
        CHECK(logged_images(run).count(logged) == 1);
      const auto again = run_uvic(short_training(after.path() / "run"));
      CAPTURE(again.err);
      CHECK(again.exit_code == 0);
      CHECK(same_tensors(run / "state.safetensors", state));
      CHECK(same_tensors(run / "weights" / "000000064.safetensors",
                         scratch / "run" / "weights" / "000000064.safetensors"));
      CHECK(fs::file_size(run / "grids" / "000000032.png") > 0);
      CHECK(logged_images(run) == std::set<int64_t>{16, 32, 48, 64});
      ++tried;
    }
  }
  CHECK(tried >= 12);
  WARN(operations.size() << " operations, " << tried << " power losses");
}
