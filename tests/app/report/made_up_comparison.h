// A comparison of two made-up runs, for tests of the report.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/report/report.h"
#include "tests/app/made_up_run.h"
#include "tests/support/scratch.h"

namespace uvic::test {

/// Two runs with samples of 40 seeds; scores as given.
struct Comparison {
  Scratch scratch;
  std::vector<app::ReportEntry> entries;
  std::vector<nlohmann::json> baselines;

  enum Images { kWithout, kWith };

  Comparison(const std::vector<double>& vit,
             const std::vector<double>& vic,
             double score_std = 0,
             Images images = kWithout)
      : images_(images) {
    add("U-ViT", "softmax", 0.052, 420, 0.75, vit, score_std);
    add("U-ViC", "cog", 0.047, 350, 0.9, vic, score_std);
    baselines = {made_up_score(4.1), made_up_score(310)};
    baselines[0]["name"] = "real, held out";
    baselines[1]["name"] = "noise";
    if (images == kWithout) return;
    write_made_up_samples(scratch / "real", {}, 40, 1);
    baselines[0]["images_folder"] = (scratch / "real").string();
  }

  void add(const std::string& name,
           const std::string& attention,
           double loss,
           double speed,
           double quality,
           const std::vector<double>& distances,
           double score_std) {
    MadeUpRun run;
    run.attention = attention;
    run.final_loss = loss;
    run.images_per_sec = speed;
    run.images = images_ == kWith;
    app::ReportEntry entry{name, scratch / (name + "-run"), scratch / (name + "-samples"), {}};
    write_made_up_run(entry.run, run);
    write_made_up_samples(entry.samples, run, 40, quality);
    for (const double distance : distances)
      entry.scores.push_back(made_up_score(distance, score_std));
    entries.push_back(entry);
  }

  nlohmann::json data() const {
    return app::report_data("U-ViT against U-ViC", entries, baselines);
  }
  std::string verdict() const { return data()["verdict"]; }
  void write(const std::filesystem::path& out) const {
    app::write_report("U-ViT against U-ViC", entries, baselines, out);
  }

 private:
  Images images_;
};

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

}  // namespace uvic::test
