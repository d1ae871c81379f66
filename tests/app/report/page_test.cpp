// The page of a report in a real browser.
#include <cstdlib>

#include "data/formats/atomic_file.h"
#include "tests/app/report/made_up_comparison.h"
#include "tests/support/browser.h"
#include "tests/support/catch.h"
#include "tests/support/skip.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using uvic::formats::read_file;

TEST_CASE("a browser runs the page's script without an error, and its controls work",
          "[report][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  const Comparison made({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith);
  const auto out = made.scratch / "report";
  made.write(out);
  const std::string drive = R"(
    const theme = document.getElementById('theme'), before = getComputedStyle(document.body).backgroundColor;
    theme.click();
    said.push('theme ' + (getComputedStyle(document.body).backgroundColor !== before));
    const slider = document.getElementById('moment'), shown = document.querySelector('.player img'), last = shown.src;
    slider.value = 0; slider.dispatchEvent(new Event('input'));
    said.push('slider ' + (shown.src !== last && document.getElementById('moment-text').textContent.includes('32 k')));
    const play = document.getElementById('play');
    play.click();
    said.push('play ' + (play.textContent === 'Stop' && slider.value === '0'));
    play.click();
    said.push('stop ' + (play.textContent === 'Play'));
    document.querySelector('.sheet img').click();
    said.push('enlarge ' + document.querySelector('dialog').open);
    document.querySelector('dialog').click();
    said.push('close ' + !document.querySelector('dialog').open);
    const plot = document.querySelector('svg[data-axes]'), box = plot.getBoundingClientRect();
    plot.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2, clientY: box.top + 50 }));
    said.push('readout ' + plot.parentElement.querySelector('.readout').textContent.includes('U-ViC'));
    said.push('narrow ' + (document.documentElement.scrollWidth <= innerWidth));
    )";
  CHECK(driven_title(out / "report.html", drive) ==
        "theme true, slider true, play true, stop true, enlarge true, close true, readout true, "
        "narrow true, faults 0 ");
}

TEST_CASE("with four columns no page is wider than its window, and headers are readable",
          "[report][browser]") {
  if (!has_browser()) UVIC_SKIP("no chromium in PATH");
  Comparison made({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith);
  for (const auto* name : {"cifar10_uvic_small_all_blocks", "elliptical, blocks 3-9"})
    made.add(name, "cog", 0.05, 340, 0.8, {50, 51, 52}, 0);
  const auto out = made.scratch / "report";
  made.write(out);
  auto page = read_file(out / "report.html");
  const std::string measure = R"(<script>
    const headers = [...document.querySelectorAll('table.columns thead th')].filter(e => e.offsetParent);
    const columns = document.querySelectorAll('table.columns')[0].querySelectorAll('thead th').length;
    const least = Math.min(...headers.map(e => e.getBoundingClientRect().width));
    parent.postMessage('columns ' + columns + ', fits ' + (document.documentElement.scrollWidth <= innerWidth) +
      ', wide ' + (least >= 60) + ', window ' + innerWidth, '*');
  </script>)";
  page.insert(page.find("</body>"), measure);
  uvic::formats::write_file_atomically(out / "measured.html", page);
  for (const int width : {390, 1200}) {
    // A window has at least 500 px, a frame any width.
    uvic::formats::write_file_atomically(
        out / "framed.html",
        fmt::format("<script>addEventListener('message', e => document.title = e.data)</script>"
                    "<iframe src=measured.html width={} height=844 style='border:0'></iframe>",
                    width));
    const auto title = title_of(loaded_page(out / "framed.html", 1400, 900));
    // The columns: the labels and four networks.
    CHECK(title == fmt::format("columns 5, fits true, wide true, window {}", width));
  }
}

TEST_CASE("writes a report to look at", "[.look]") {
  const char* out = std::getenv("UVIC_REPORT_OUT");
  if (!out) UVIC_SKIP("UVIC_REPORT_OUT names no folder");
  Comparison({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith).write(fs::path(out) / "seeds");
  Comparison({45}, {41}, 0.6, Comparison::kWith).write(fs::path(out) / "one");
  Comparison many({45, 46.5, 44}, {41, 42, 43}, 0, Comparison::kWith);
  for (const auto* name : {"cifar10_uvic_small_all_blocks", "expressive", "elliptical, blocks 3-9"})
    many.add(name, "cog", 0.05, 340, 0.8, {50, 51, 52}, 0);
  many.write(fs::path(out) / "five");
  for (const auto* name : {"six", "a seventh column"})
    many.add(name, "cog", 0.05, 340, 0.8, {50}, 0);
  many.write(fs::path(out) / "seven");
}
