// The program as a user runs it: arguments in, exit code and text out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace uvic::test {

/// For the shell prefix: the program makes its library settings itself, as in a user's shell.
constexpr const char* kOwnLibrarySettings =
    "env -u UVIC_LIBRARY_SETTINGS -u OMP_WAIT_POLICY -u OMP_DYNAMIC -u OPENBLAS_CORETYPE";

struct Outcome {
  int exit_code = 0;  ///< 128 + signal where one ended it
  std::string out, err;
};

/// Runs uvic to its end; `shell_prefix` stands before it in the shell, as in "ulimit -f 100;".
Outcome run_uvic(const std::vector<std::string>& arguments, const std::string& shell_prefix = "");

/// Runs a script by bash, in which $UVIC is the program; out and err are the script's own.
Outcome run_script(const std::string& script);

/// A word as the shell takes it.
std::string quoted(const std::string& word);

/// A uvic that runs next to the test.
class Running {
 public:
  /// `output`: the descriptor that becomes its stdout and stderr; -1: /dev/null.
  explicit Running(const std::vector<std::string>& arguments, int output = -1);
  ~Running();
  void signal(int number) const;
  int wait();  ///< exit code, 128 + signal
  bool finished();
  pid_t pid() const { return pid_; }
  double peak_resident_mib() const;  ///< while it runs

 private:
  pid_t pid_ = -1;
  int code_ = -1;
};

/// Options of a training that takes a second: a U-ViC of two blocks' width on 8 px images.
std::vector<std::string> tiny_training(const std::filesystem::path& out,
                                       int64_t total_images = 640);

/// 64 images of it with two checkpoints, two grids and four log lines: every file of a run.
std::vector<std::string> short_training(const std::filesystem::path& out);

/// A small class-conditional run with a null class, trained once for all tests of the process;
/// weights at 160 and 320 images.
const std::filesystem::path& trained_run();

/// The RGB bytes of an image file. Two PNGs may differ in what they say of their making alone.
std::vector<uint8_t> pixels(const std::filesystem::path& path);

/// a followed by b.
std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b);

}  // namespace uvic::test
