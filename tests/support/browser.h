// Pages in a real browser, Chromium without a window.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "data/formats/atomic_file.h"
#include "tests/support/catch.h"

namespace uvic::test {

inline bool has_browser() { return std::system("command -v chromium >/dev/null 2>&1") == 0; }

/// The document of `page` as HTML after its scripts ran for three virtual seconds, in a window of
/// `width` x `height` px. Chromium's windows are at least 500 px wide.
inline std::string loaded_page(const std::filesystem::path& page,
                               int64_t width = 390,
                               int64_t height = 844) {
  const auto dump = page.parent_path() / "dom.html";
  const auto command = fmt::format(
      "timeout 60 chromium --headless --no-sandbox --disable-gpu --window-size={},{} "
      "--virtual-time-budget=3000 --dump-dom 'file://{}' > '{}' 2>/dev/null",
      width,
      height,
      page.string(),
      dump.string());
  REQUIRE(std::system(command.c_str()) == 0);
  return formats::read_file(dump);
}

/// What is between <title> and </title> of a document.
inline std::string title_of(const std::string& document) {
  const auto begin = document.find("<title>"), end = document.find("</title>");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  return document.substr(begin + 7, end - begin - 7);
}

/// The title of `page` after `script` has driven it. The script pushes what it finds to `said`, and
/// id(x) is an element. The title joins these by commas and ends with "faults N ": errors of
/// scripts and violations of the page's Content-Security-Policy, and what they were.
inline std::string driven_title(const std::filesystem::path& page, const std::string& script) {
  auto html = formats::read_file(page);
  const std::string watch =
      "<script>window.faults = []; addEventListener('error', e => faults.push(e.message));"
      "addEventListener('securitypolicyviolation', e => faults.push(e.blockedURI));</script>";
  REQUIRE(html.find("<style>") != std::string::npos);
  html.insert(html.find("<style>"), watch);
  REQUIRE(html.rfind("</body>") != std::string::npos);
  html.insert(html.rfind("</body>"),
              "<script>{ const said = [], id = x => document.getElementById(x);" + script +
                  "document.title = said.join(', ') + ', faults ' + faults.length + ' ' + "
                  "faults.join(';'); }</script>");
  const auto driven = page.parent_path() / "driven.html";
  formats::write_file_atomically(driven, html);
  return title_of(loaded_page(driven));
}

}  // namespace uvic::test
