#include "app/report/report.h"

#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// A report of a run and its samples, both in one folder.
UVIC_FUZZ_TARGET(report) {
  using namespace uvic;
  static const fuzz::ScratchFolder folder, out;
  if (folder.fill(bytes) == 0) throw std::runtime_error("no file");
  const auto path = folder.path();
  fuzz::Attempts attempt;
  attempt([&] { app::report_text("fuzz", {{"a", path, path, {}}}, {}); });
  if (std::filesystem::exists(path / "samples.json"))
    attempt([&] { app::write_report("fuzz", {{"a", path, path, {}}}, {}, out.path()); });
  attempt.finish();
}
