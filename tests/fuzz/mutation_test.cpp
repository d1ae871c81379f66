// A bounded, deterministic share of fuzzing for every run of the tests: each target reads its
// seeds, every file that once broke it, and a fixed number of mutations of both.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "data/formats/atomic_file.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/catch.h"

namespace fs = std::filesystem;

namespace {

/// Readers of whole folders take milliseconds for each input.
int mutations_of(const std::string& target) {
  if (target == "report" || target == "run_folder") return 100;
  return target == "config" || target == "weights_file" ? 1000 : 4000;
}

constexpr size_t kLargest = 1 << 16;  // bytes

std::vector<std::string> read_folder(const fs::path& folder,
                                     const std::vector<std::string>& extensions = {}) {
  std::vector<fs::path> paths;
  if (fs::is_directory(folder)) {
    for (const auto& item : fs::directory_iterator(folder)) {
      const bool is_wanted =
          extensions.empty() ||
          std::find(extensions.begin(), extensions.end(), item.path().extension()) !=
              extensions.end();
      if (item.is_regular_file() && is_wanted && item.file_size() <= kLargest)
        paths.push_back(item.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> files;
  for (const auto& path : paths) files.push_back(uvic::formats::read_file(path));
  return files;
}

class Mutator {
  size_t below(size_t bound) { return random_() % bound; }
  template <class Range>
  const auto& pick(const Range& range) {
    return *std::next(std::begin(range), static_cast<std::ptrdiff_t>(below(std::size(range))));
  }

 public:
  explicit Mutator(const std::vector<std::string>& seeds) : seeds_(seeds) {}

  std::string next() {
    std::string bytes = pick(seeds_);
    for (size_t edits = 1 + below(4); edits > 0; --edits) edit(bytes);
    return bytes;
  }

 private:
  void edit(std::string& bytes) {
    if (bytes.empty()) bytes = pick(seeds_);
    const size_t at = below(bytes.size()),
                 length = 1 + below(std::min<size_t>(bytes.size() - at, 32));
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
        return;
      case 1:
        bytes[at] = static_cast<char>(random_());
        return;
      case 2:
        bytes.erase(at, length);
        return;
      case 3:
        bytes.insert(at, bytes.substr(below(bytes.size()), length));
        return;
      case 4:
        bytes.resize(at);
        return;
      case 5: {  // sizes and offsets at the edges of their types
        constexpr uint64_t kEdges[] = {0,
                                       1,
                                       0x7f,
                                       0xff,
                                       0x7fff,
                                       0xffff,
                                       0x7fffffff,
                                       0xffffffff,
                                       uint64_t{1} << 32,
                                       uint64_t{1} << 62,
                                       INT64_MAX,
                                       UINT64_MAX};
        const uint64_t edge = pick(kEdges);
        const size_t width = std::min<size_t>(size_t{1} << below(4), bytes.size() - at);
        std::copy_n(reinterpret_cast<const char*>(&edge),
                    width,
                    bytes.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      }
      default: {
        const std::string& other = pick(seeds_);
        bytes = bytes.substr(0, at) + other.substr(std::min(at, other.size()));
        return;
      }
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_{1};
};

/// Its seeds, of which it takes some, its old findings, and mutations of both.
void survive_all(const uvic::fuzz::Target& target) {
  std::vector<std::string> seeds;
  for (const char* folder :
       {UVIC_GOLDEN_DIR "/formats", UVIC_CONFIGS_DIR, UVIC_GOLDEN_DIR "/data/tokenizers"}) {
    if (target.extensions.empty()) break;
    const auto more = read_folder(folder, target.extensions);
    seeds.insert(seeds.end(), more.begin(), more.end());
  }
  const auto corpus = read_folder(fs::path(UVIC_FUZZ_DIR) / "corpus" / target.name);
  seeds.insert(seeds.end(), corpus.begin(), corpus.end());
  size_t taken = 0;
  for (const auto& seed : seeds) taken += uvic::fuzz::survives(target.read, seed);
  CHECK(taken > 0);  // or the seeds no longer reach the reader
  const auto findings = read_folder(fs::path(UVIC_FUZZ_DIR) / "regressions" / target.name);
  for (const auto& finding : findings) uvic::fuzz::survives(target.read, finding);
  seeds.insert(seeds.end(), findings.begin(), findings.end());
  Mutator mutator(seeds);
  for (int i = 0; i < mutations_of(target.name); ++i)
    CHECK_NOTHROW(uvic::fuzz::survives(target.read, mutator.next()));
}

}  // namespace

TEST_CASE("fuzz: every reader survives its seeds, old findings, and mutations of them", "[fuzz]") {
  REQUIRE_FALSE(uvic::fuzz::targets().empty());
  for (const auto& target : uvic::fuzz::targets()) {
    DYNAMIC_SECTION(target.name) { survive_all(target); }
  }
}
