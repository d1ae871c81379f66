#include "tests/cli/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "base/library_settings.h"
#include "data/formats/image_file.h"
#include "tests/support/scratch.h"

namespace uvic::test {
namespace {

// To start anew (app/startup.h) doubles the time of a start: it is tested in threads_test.cpp, and
// other programs find its settings made.
[[maybe_unused]] const bool library_settings_made = base::make_library_settings();

std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

Outcome run_command(const std::string& command) {
  const Scratch scratch;
  Outcome outcome;
  outcome.exit_code = code_of(std::system(
      ("{ " + command + "\n} >" + quoted(scratch / "out") + " 2>" + quoted(scratch / "err"))
          .c_str()));
  outcome.out = slurp(scratch / "out");
  outcome.err = slurp(scratch / "err");
  return outcome;
}

}  // namespace

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

Outcome run_script(const std::string& script) {
  return run_command("UVIC=" + quoted(UVIC_PROGRAM) + " bash -c " + quoted(script));
}

Outcome run_uvic(const std::vector<std::string>& arguments, const std::string& shell_prefix) {
  std::string command = shell_prefix + " " + quoted(UVIC_PROGRAM);
  for (const auto& argument : arguments) command += " " + quoted(argument);
  return run_command(command);
}

Running::Running(const std::vector<std::string>& arguments, int output) {
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    if (output < 0) output = open("/dev/null", O_RDWR);
    dup2(output, 1);
    dup2(output, 2);
    std::vector<char*> argv = {const_cast<char*>(UVIC_PROGRAM)};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(UVIC_PROGRAM, argv.data());
    _exit(127);
  }
}

Running::~Running() {
  if (code_ >= 0) return;
  kill(pid_, SIGKILL);
  wait();
}

void Running::signal(int number) const { kill(pid_, number); }

int Running::wait() {
  int status = 0;
  if (code_ < 0 && waitpid(pid_, &status, 0) == pid_) code_ = code_of(status);
  return code_;
}

bool Running::finished() {
  int status = 0;
  if (code_ < 0 && waitpid(pid_, &status, WNOHANG) == pid_) code_ = code_of(status);
  return code_ >= 0;
}

double Running::peak_resident_mib() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  throw std::runtime_error("no peak memory in /proc");
}

std::vector<std::string> tiny_training(const std::filesystem::path& out, int64_t total_images) {
  return {"train",
          "--data",
          "procedural",
          "--out",
          out.string(),
          "--total_images",
          std::to_string(total_images),
          "--batch_size",
          "16",
          "--dataset.image_size",
          "8",
          "--dataset.procedural_images",
          "100",
          "--model.img_size",
          "8",
          "--model.patch_size",
          "2",
          "--model.embed_dim",
          "16",
          "--model.depth",
          "2",
          "--model.num_heads",
          "2",
          "--model.num_classes",
          "10",
          "--optimizer.warmup_images",
          "64",
          "--ema_decay",
          "0.9",
          "--log_images",
          "160",
          "--checkpoint_images",
          "160",
          "--grid_images",
          "320",
          "--grid_count",
          "4",
          "--sample.steps",
          "4",
          "--precision",
          "fp32"};
}

std::vector<std::string> short_training(const std::filesystem::path& out) {
  auto words = tiny_training(out, 64);
  words.insert(words.end(),
               {"--checkpoint_images",
                "32",
                "--grid_images",
                "32",
                "--log_images",
                "16",
                "--sample.steps",
                "1"});
  return words;
}

const std::filesystem::path& trained_run() {
  static const Scratch scratch;
  static const std::filesystem::path run = [] {
    const auto path = scratch / "run";
    const auto training =
        tiny_training(path, 320) +
        std::vector<std::string>{"--label_dropout", "0.1", "--model.num_classes", "11"};
    if (const auto outcome = run_uvic(training); outcome.exit_code != 0)
      throw std::runtime_error("the run that these tests share failed: " + outcome.err);
    return path;
  }();
  return run;
}

std::vector<uint8_t> pixels(const std::filesystem::path& path) {
  return formats::read_image(path.string()).rgb;
}

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace uvic::test
